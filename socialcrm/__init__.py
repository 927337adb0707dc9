"""SocialCRM: a self-hosted social CRM."""
