"""What operators read: views of the leader's state, without any transport."""
