"""Where an incident is told: a webhook (a CloudEvent), e-mail, or anything that Apprise knows.

    https://hooks.example.com/incidents                       POST of the CloudEvent
    smtp://USER:PASSWORD@mail.example.com:587?from=a@example.com    an e-mail, to `owner.on_call` or `&to=`
    slack://..., msteams://..., pagerduty://...               by Apprise, the extra `notify`

`smtps:` speaks TLS from the start; `smtp:` begins it where the server offers it, and sends a password only then.
"""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from roadworthy.errors import InputError
from roadworthy.flows.notify import PATIENCE, send

PORTS = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Message:
    """What is told: the event for programs, title and text for people, and who it is for."""

    event: dict[str, Any]
    title: str
    text: str
    to: str


def tell(address: str, message: Message) -> str:
    """Tell one address; says why it did not arrive, or nothing. A message that is lost never stops what it is about."""
    scheme = urlsplit(address).scheme
    if scheme in ("http", "https"):
        return send(address, message.event)
    return _mail(address, message) if scheme in PORTS else _apprise(address, message)


def _mail(address: str, message: Message) -> str:
    target = urlsplit(address)
    asked = {name: values[-1] for name, values in parse_qs(target.query).items()}
    if not target.hostname or "from" not in asked:
        raise InputError(f"ROADWORTHY_NOTIFY: expected {target.scheme}://HOST?from=ADDRESS, got no host or no sender")
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = message.title, asked["from"], asked.get("to", message.to)
    mail.set_content(message.text)
    try:
        with _connected(target.scheme, target.hostname, target.port or PORTS[target.scheme]) as server:
            if target.username:
                server.login(unquote(target.username), unquote(target.password or ""))
            server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        return f"{target.hostname} did not take the mail: {type(error).__name__}"
    return ""


def _connected(scheme: str, host: str, port: int) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=PATIENCE, context=context)
    server = smtplib.SMTP(host, port, timeout=PATIENCE)
    server.ehlo()
    if server.has_extn("starttls"):
        server.starttls(context=context)
        server.ehlo()
    return server


def _apprise(address: str, message: Message) -> str:
    try:
        import apprise  # noqa: PLC0415  an extra: many services, and most need none of them
    except ImportError:
        scheme = urlsplit(address).scheme or "nothing"
        raise InputError(f"ROADWORTHY_NOTIFY: {scheme}: needs Apprise", hint="pip install roadworthy[notify]") from None
    channel = apprise.Apprise()
    if not channel.add(address):
        raise InputError(f"ROADWORTHY_NOTIFY: Apprise knows no service '{urlsplit(address).scheme}:' of this form")
    sent = channel.notify(body=message.text, title=message.title)
    return "" if sent else f"{urlsplit(address).scheme}: the service did not take it"
