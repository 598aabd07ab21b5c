"""The voice: what the service says to people, and how it reaches them.

A mail goes three steps: `letters.render` writes it (template, locale, parameters), `mime.compose` puts it into the form
that mail servers expect, `mail.Mailer` hands it over. A new mail is a new folder in `templates/`.
"""
