"""The health agenda: appointments, reminders, due dates."""
