"""The gRPC contract of pymesos: `.proto` files and the stubs generated from them."""
