"""What a study says of the arm api."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from fedmedlora.config.fields import Checked, Count, CountOrZero, NotNegative, Positive, Switch


class ApiConfig(Checked):
    """The arm api: a chat model behind an OpenAI-compatible endpoint, zero-shot or with worked examples."""

    base_url: str = Field(
        default="https://api.openai.com/v1", pattern="^https?://", description="what stands before /chat/completions"
    )
    model: str | None = Field(default=None, min_length=1, description="the model's name at that endpoint")
    key_variable: str = Field(
        default="OPENAI_API_KEY", description="environment variable that holds the key; empty: the server wants none"
    )
    shots: CountOrZero = Field(default=0, description="worked examples of each task, from training notes")
    concurrency: Count = Field(default=4, description="questions under way at once")
    timeout_s: Positive = Field(default=120.0, description="seconds of one attempt")
    attempts: Count = Field(default=6, description="attempts at a question before the study ends")
    max_tokens: Count = Field(default=2048, description="tokens of an answer")
    token_limit_key: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="what the server calls that limit"
    )
    fixed: Switch = Field(default=True, description="ask with temperature 0 and seed 0; some models refuse these")
    price_in: NotNegative | None = Field(default=None, description="per million tokens asked; none: no cost is noted")
    price_out: NotNegative | None = Field(default=None, description="per million tokens answered")
    allow_credentialed: Switch = Field(
        default=False, description="send credentialed notes too; only where their agreement permits that server"
    )

    @field_validator("base_url")
    @classmethod
    def _no_secret_in_it(cls, value: str) -> str:
        parts = urlsplit(value)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "expected an address alone, as in http://localhost:8000/v1: what names a user or holds a key would "
                "stand in every record; the key comes from the environment variable that key_variable names"
            )
        return value
