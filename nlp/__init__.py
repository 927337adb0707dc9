"""Understanding of short customer messages: language, sentiment, complaint and intent."""
