"""The handlers of `microservices/user_registration`: each stands for a call to a service of its own."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from tasker_kafka.deploy.examples.gateway import reference
from tasker_kafka.handlers import StepContext, result_of, step_handler

__all__ = [
    "Account",
    "Activation",
    "Billing",
    "Preferences",
    "Registration",
    "User",
    "Welcome",
    "activate_account",
    "create_account",
    "initialize_preferences",
    "send_welcome",
    "set_up_billing",
]

GREETINGS = {"de": "Willkommen", "en": "Welcome", "fr": "Bienvenue"}


class User(BaseModel):
    """Who registers."""

    name: str
    email: str
    plan: str = "free"
    language: str = "en"


class Registration(BaseModel):
    """The task's context."""

    user: User


class Account(BaseModel):
    """The user as the account service knows it."""

    user_id: str
    name: str
    plan: str


class Billing(BaseModel):
    """The user as the billing service knows it."""

    billing_id: str
    user_id: str
    monthly_cents: int


class Preferences(BaseModel):
    """How the user wants to be spoken to."""

    language: str
    newsletter: bool


class Welcome(BaseModel):
    """What the user was sent."""

    user_id: str
    subject: str
    messages: list[str]


class Activation(BaseModel):
    """The end of the registration."""

    user_id: str
    state: str


@step_handler("microservices.create_account")
async def create_account(context: StepContext, registration: Registration) -> Account:
    """The key makes a second call for the same registration find the first one's account."""
    user = registration.user
    return Account(user_id=reference("usr", context.idempotency_key), name=user.name, plan=user.plan)


@step_handler("microservices.set_up_billing")
async def set_up_billing(
    context: StepContext, account: Annotated[Account, result_of("create_account")]
) -> Billing:
    """Prices are the template's business: `handler.initialization`."""
    monthly = int(context.config["prices_cents"][account.plan])
    return Billing(
        billing_id=reference("bil", account.user_id), user_id=account.user_id, monthly_cents=monthly
    )


@step_handler("microservices.initialize_preferences")
async def initialize_preferences(registration: Registration) -> Preferences:
    """Those who pay are spared the newsletter."""
    user = registration.user
    return Preferences(language=user.language, newsletter=user.plan == "free")


@step_handler("microservices.send_welcome")
async def send_welcome(
    registration: Registration,
    billing: Annotated[Billing, result_of("set_up_billing")],
    preferences: Annotated[Preferences, result_of("initialize_preferences")],
) -> Welcome:
    """The join: billing and preferences are both done."""
    subject = f"{GREETINGS[preferences.language]}, {registration.user.name}"
    messages = ["welcome", *(["invoice"] if billing.monthly_cents else [])]
    return Welcome(user_id=billing.user_id, subject=subject, messages=messages)


@step_handler("microservices.activate_account")
async def activate_account(welcome: Annotated[Welcome, result_of("send_welcome")]) -> Activation:
    """From now on the user can log in."""
    return Activation(user_id=welcome.user_id, state="active")
