"""`python -m pymesos_lb`."""

from pymesos_lb.main import main

if __name__ == "__main__":
    main()
