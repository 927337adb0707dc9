"""Why a connection failed is said in words, whichever library found out."""

import aiohttp
import httpx
import pytest
import requests

from connectors.cause import cause
from tests.servers.platform import closed_port, deaf_port

REFUSED, SILENT = "nobody listens at that address and port", "it does not answer in time"


async def _aiohttp(url: str) -> None:
    timeout = aiohttp.ClientTimeout(total=0.3)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url):
        return


async def _httpx(url: str) -> None:
    async with httpx.AsyncClient(timeout=0.3, verify=False) as client:
        await client.get(url)


async def _requests(url: str) -> None:
    requests.get(url, timeout=0.3)


@pytest.mark.parametrize("get", [_aiohttp, _httpx, _requests])
async def test_nobody_there_an_unknown_name_and_silence_are_told_apart(get: object) -> None:
    assert callable(get)
    async with closed_port() as closed, deaf_port() as deaf:
        said = {}
        for name, url in {"closed": closed, "deaf": deaf, "unknown": "http://nowhere.invalid/"}.items():
            with pytest.raises(Exception) as raised:
                await get(url)
            said[name] = cause(raised.value)
    assert (said["closed"], said["deaf"]) == (REFUSED, SILENT)
    assert said["unknown"].startswith("no server of that name is known")


def test_an_error_without_words_is_called_by_its_kind() -> None:
    assert cause(ValueError("a text that nobody should read")) == "ValueError"
