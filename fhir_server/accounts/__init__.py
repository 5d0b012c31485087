"""Who has an account here, how they prove it, and what is sent to them: sign-in, one-time codes, the outbox."""
