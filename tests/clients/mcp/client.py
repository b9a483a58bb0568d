"""The Python SDK of MCP's makers against the gateway: connect, list, call, be told what is wrong, follow a stream, give up.

    python client.py URL MODE                      MODE is legacy, auto or a version
    python client.py URL oauth EMAIL PASSWORD      OAuth's whole dance
"""

import asyncio
import html
import json
import re
import sys
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

BACK = "http://127.0.0.1:33418/back"


async def tools(url: str, mode: str) -> None:
    async with Client(url, mode=mode) as client:
        listed = (await client.list_tools()).tools
        names = [tool.name for tool in listed]
        assert names == sorted(names) and "echo" in names, names

        echoed = await client.call_tool("echo", {"text": 'ä"\n', "count": "9007199254740993"})
        assert not echoed.is_error, echoed
        assert echoed.structured_content == json.loads(echoed.content[0].text), echoed
        assert echoed.structured_content["count"] == "9007199254740993", echoed

        wrong = await client.call_tool("echo", {"txt": "x"})
        assert wrong.is_error and "did you mean `text`" in wrong.content[0].text, wrong
        try:
            await client.call_tool("no_such_tool", {})
            raise AssertionError("there is no such tool")
        except Exception as error:
            assert "Unknown tool" in str(error), error

        progress = []

        async def told(done: float, _total: float | None, message: str | None) -> None:
            progress.append((done, message))

        streamed = await client.call_tool("test_tool_with_progress", {}, progress_callback=told)
        assert len(streamed.structured_content["messages"]) == 3, streamed
        assert [done for done, _ in progress] == [1, 2, 3], progress

        # Who gives up is waited for no longer, and neither is the upstream.
        begun = asyncio.Event()

        async def begins(_done: float, _total: float | None, _message: str | None) -> None:
            begun.set()

        endless = asyncio.create_task(client.call_tool("endless", {}, progress_callback=begins))
        await asyncio.wait_for(begun.wait(), 60)
        endless.cancel()
        try:
            await endless
            raise AssertionError("it has no end")
        except asyncio.CancelledError:
            pass
        # The connection is as good as before.
        assert not (await client.call_tool("echo", {"text": "a"})).is_error
    print(f"{mode}: {len(names)} tools, all as they should be")


class Kept:
    """What the SDK keeps."""

    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def browse(address: str, email: str, password: str) -> AuthorizationCodeResult:
    """A browser that knows no script: pages, a cookie, forms."""
    async with httpx2.AsyncClient(follow_redirects=False) as browser:
        form = urljoin(address, "/oauth/authorize")

        def hidden(page: str) -> dict[str, str]:
            found = re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', page)
            return {name: html.unescape(value) for name, value in found}

        login = await browser.get(address)
        assert login.status_code == 200, login.text
        consent = await browser.post(form, data={**hidden(login.text), "email": email, "password": password})
        assert consent.status_code == 200, consent.text
        answer = await browser.post(form, data={**hidden(consent.text), "answer": "allow"})
        assert answer.status_code == 303, answer.text
        sent = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        return AuthorizationCodeResult(code=sent["code"], state=sent.get("state"), iss=sent.get("iss"))


async def dance(url: str, email: str, password: str) -> None:
    kept, asked = Kept(), []

    async def go(address: str) -> None:
        asked.append(address)

    async def come_back() -> AuthorizationCodeResult:
        return await browse(asked[-1], email, password)

    metadata = OAuthClientMetadata(client_name="The Python SDK", redirect_uris=[BACK])
    provider = OAuthClientProvider(url, metadata, kept, redirect_handler=go, callback_handler=come_back)
    async with httpx2.AsyncClient(auth=provider, timeout=60) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert "GetBook" in names, names
            # It was let do less than this, and comes back for more by itself.
            got = await client.call_tool("GetBook", {})
            assert not got.is_error, got
    assert len(asked) == 2, asked
    assert kept.tokens.refresh_token and kept.client.client_id
    print("oauth: the whole dance, all as it should be")


if sys.argv[2] == "oauth":
    asyncio.run(dance(sys.argv[1], sys.argv[3], sys.argv[4]))
else:
    asyncio.run(tools(sys.argv[1], sys.argv[2]))
