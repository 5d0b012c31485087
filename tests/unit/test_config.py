"""Settings are one table; an unknown name or a bad value stops the start with one line."""

import pytest

from fhir_server.config import SETTINGS, ConfigError, Settings, from_environ


def test_without_any_the_defaults_hold():
    """Each row of the table is a field, with the same default"""
    assert from_environ({"PATH": "/bin"}) == Settings()
    assert {setting.name: setting.default for setting in SETTINGS} == {
        setting.name: getattr(Settings(), setting.name) for setting in SETTINGS
    }


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FHIR_SERVER_COLOUR", "red", "Unknown setting FHIR_SERVER_COLOUR; known: FHIR_SERVER_AUDIT_ANCHORS"),
        ("FHIR_SERVER_BASE_URl", "http://here", "did you mean FHIR_SERVER_BASE_URL"),
        ("FHIR_SERVER_BASE_URL", "http://here/fhir/", "leave out `/fhir`"),
        ("FHIR_SERVER_MAX_COUNT", "many", "expected a whole number above 0"),
        ("FHIR_SERVER_MAX_COUNT", "0", "expected a whole number above 0"),
        ("FHIR_SERVER_BASE_URL", "http://", "expected an http"),
        ("FHIR_SERVER_BASE_URL", "ftp://here", "expected an http"),
        ("FHIR_SERVER_TIMEZONE", "Mars/Phobos", "time zone"),
        ("FHIR_SERVER_TIMEZONE", "../../etc/passwd", "time zone"),
        ("FHIR_SERVER_MONGODB_DATABASE", "a b/c", "name of a database"),
        ("FHIR_SERVER_UPDATE_AS_CREATE", "perhaps", "true or false"),
        ("FHIR_SERVER_SMTP_URL", "mail.example", "expected smtps://"),
        ("FHIR_SERVER_SMTP_URL", "https://mail.example", "expected smtps://"),
        ("FHIR_SERVER_MAIL_FROM", "nobody", "e-mail address"),
        ("FHIR_SERVER_MAIL_FROM", "a@b.example\nBcc: c@d.example", "e-mail address"),
        ("FHIR_SERVER_SMS_URL", "http://gateway.example/", "https"),
        ("FHIR_SERVER_SMS_URL", "ftp://localhost/", "https"),
        ("FHIR_SERVER_PROXIES", "-1", "whole number"),
    ],
)
def test_what_cannot_be_read_is_one_line(name, value, said):
    """An unknown name stops the start"""
    with pytest.raises(ConfigError, match=said) as raised:
        from_environ({name: value})

    assert "\n" not in str(raised.value)


def test_a_secret_is_not_repeated():
    """What starts a server may be kept in a log"""
    with pytest.raises(ConfigError) as raised:
        from_environ({"FHIR_SERVER_SMTP_URL": "http://me:Glycine58@mail.example"})

    assert "Glycine" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtp_url", "smtps://me:secret@mail.example:465"),
        ("smtp_url", "smtp://localhost:25"),
        ("mail_from", "Mon espace <no-reply@record.example>"),
        ("sms_url", "https://gateway.example/send?key=1"),
        ("sms_url", "http://127.0.0.1:9000/"),
    ],
)
def test_what_leaves_by_which_way(name, value):
    """As an operator writes it"""
    assert getattr(from_environ({f"FHIR_SERVER_{name.upper()}": value}), name) == value


def test_the_readme_lists_every_setting():
    """Documentation stays true when something fails when it is not"""
    from pathlib import Path

    readme = (Path(__file__).parents[2] / "README.md").read_text()

    assert all(f"`{setting.variable}`" in readme for setting in SETTINGS)
