"""What Mesos' master refuses, in its words: frameworks' logs and tests know them by heart."""
