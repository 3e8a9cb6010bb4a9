"""Who is who in a cluster, and what each may call.

`identities` has the names, `authority` makes certificates of them, `credentials` reads those of a
process, `gate` says who makes a call and refuses those whom it is not for.
"""
