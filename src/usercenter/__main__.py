"""`python -m usercenter` is the command `usercenter`."""

from usercenter.cli import main

main()
