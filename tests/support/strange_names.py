"""Names of classes and files as a stranger's folder may have them."""

STRANGE = (
    "<script>alert(1)</script>",
    r"\input{/etc/passwd}",
    "`rm -rf ~`",
    "a\u202etxt.exe",
    "two\nlines",
    "=1+1",
    "@SUM(A1)",
    "\x1b[31mred\x07",
    "[a](javascript:alert(1))",
    "$x^$ & 100 % | #1",
    "&#8238;",
    "__proto__",
    "x" * 200,
)
