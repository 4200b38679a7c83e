"""The same people without their browsers: each speaks the pages' protocol over a WebSocket.

On a server of one's own the browsers are elsewhere. Here they would take the processor from server and
training; these visitors take next to nothing, so that what is measured is what the server costs and how soon
it has answered in full. They send what Streamlit's frontend sends: a rerun for a page, a widget's value, a
fragment's timer.
"""

import asyncio
import random
import re
import urllib.request
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.sessions import (
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    READ_SECONDS,
    TEXTS,
    TYPE_SECONDS,
    Scene,
    age_of,
)

MOST_BYTES = 2**28


@dataclass
class Visitor:
    """One open page: its connection, the values of its widgets, and what the server drew last."""

    address: str
    connection: ClientConnection
    page: str = ""
    query: str = ""
    session: str = ""
    drawn: list[ForwardMsg] = field(default_factory=list)
    values: dict[str, WidgetState] = field(default_factory=dict)
    timers: dict[str, asyncio.Task] = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    file_urls: asyncio.Queue = field(default_factory=asyncio.Queue)

    async def open(self, page: str, query: str = "") -> None:
        """Ask for a page, and wait until all of it was sent."""
        self.page, self.query = page, query
        await self.rerun()

    async def rerun(self, **state: str) -> None:
        """Have the page's script run, and wait until it is through."""
        self.answered.clear()
        await self._ask(**state)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.answered.wait()

    def widget(self, kind: str, label: str) -> str:
        """The id of the widget of this kind and label, among what was drawn last."""
        for message in reversed(self.drawn):
            if message.delta.new_element.WhichOneof("type") == kind:
                found = getattr(message.delta.new_element, kind)
                if found.label == label:
                    return found.id
        raise LookupError(f"no {kind} {label} on the page {self.page}: {self.words()[-500:]}")

    def words(self) -> str:
        """The texts of what was drawn last."""
        return "\n".join(str(message.delta.new_element) for message in self.drawn)

    async def press(self, label: str, **texts: str) -> None:
        """Fill text fields, given by their labels, and press a button."""
        for name, text in texts.items():
            self._set(self.widget("text_area", name), string_value=text)
        button = self.widget("button", label)
        self._set(button, trigger_value=True)
        await self.rerun()
        del self.values[button]

    async def upload(self, label: str, name: str, content: bytes) -> None:
        """Hand a file to the uploader of this label."""
        asked = BackMsg()
        asked.file_urls_request.request_id = uuid.uuid4().hex
        asked.file_urls_request.file_names.append(name)
        asked.file_urls_request.session_id = self.session
        await self.connection.send(asked.SerializeToString())
        urls = (await self.file_urls.get()).file_urls[0]
        await asyncio.to_thread(put, self.address + urls.upload_url, name, content)
        state = WidgetState(id=self.widget("file_uploader", label))
        state.file_uploader_state_value.uploaded_file_info.add(
            name=name, size=len(content), file_id=urls.file_id, file_urls=urls
        )
        self.values[state.id] = state
        await self.rerun()

    async def listen(self) -> None:
        """Take what the server sends, as the frontend does, until the page is left."""
        async for content in self.connection:
            message = ForwardMsg.FromString(content)
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session = message.new_session.initialize.session_id
                if not message.metadata.run.fragment_ids:
                    self.drawn = []
                    self._stop_timers()
                self.query = re.sub("^\\?", "", self.query)
            elif kind == "delta":
                self.drawn.append(message)
            elif kind == "page_info_changed":
                self.query = message.page_info_changed.query_string
            elif kind == "file_urls_response":
                self.file_urls.put_nowait(message.file_urls_response)
            elif kind == "auto_rerun":
                self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            elif kind == "script_finished" and message.script_finished in ENDS:
                self.answered.set()

    def _set(self, widget: str, **value: object) -> None:
        self.values[widget] = WidgetState(id=widget, **value)

    async def _ask(self, **state: object) -> None:
        asked = BackMsg()
        asked.rerun_script.query_string = self.query
        asked.rerun_script.page_name = self.page
        asked.rerun_script.widget_states.widgets.extend(self.values.values())
        for name, value in state.items():
            setattr(asked.rerun_script, name, value)
        await self.connection.send(asked.SerializeToString())

    def _start_timer(self, fragment: str, seconds: float) -> None:
        async def tick() -> None:
            while True:
                await asyncio.sleep(seconds)
                await self._ask(fragment_id=fragment, is_auto_rerun=True)

        if fragment not in self.timers:
            self.timers[fragment] = asyncio.create_task(tick())

    def _stop_timers(self) -> None:
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()


# All but those that are run again at once, because the page redirects.
ENDS = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


@asynccontextmanager
async def visit(scene: Scene) -> AsyncIterator[Visitor]:
    """A connection of its own, as every tab has one."""
    address = scene.address.replace("http", "ws", 1) + "/_stcore/stream"
    async with connect(
        address, subprotocols=["streamlit"], max_size=MOST_BYTES, compression=None
    ) as connection:
        visitor = Visitor(scene.address, connection)
        listening = asyncio.create_task(visitor.listen())
        try:
            yield visitor
        finally:
            visitor._stop_timers()
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


def put(url: str, name: str, content: bytes) -> None:
    border = uuid.uuid4().hex
    head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    body = head.encode() + b"Content-Type: text/csv\r\n\r\n" + content + f"\r\n--{border}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    with urllib.request.urlopen(urllib.request.Request(url, body, kind, method="PUT"), timeout=60):
        return


async def watch(scene: Scene) -> None:
    """Follow the live run by its link."""
    async with visit(scene) as visitor:
        with scene.times.of("open Train (live run)"):
            await visitor.open("", f"run={scene.live_run}")
        while not scene.leave.is_set():
            await scene.pause(LOOK_SECONDS)
            steps = re.findall(r"Step ([\d,]+) of", visitor.words())
            if steps:
                age = age_of(scene.live_run, int(steps[-1].replace(",", "")))
                scene.times.seconds["live view, behind by"].append(age)


async def upload(scene: Scene) -> None:
    """Upload a large table, wait until it is checked, look at another page, and again."""
    content = scene.upload.read_bytes()
    async with visit(scene) as visitor:
        while not scene.leave.is_set():
            visitor.values.clear()
            with scene.times.of("open Data"):
                await visitor.open("")
            with scene.times.of("upload, until checked"):
                await visitor.upload("Your table", "upload.csv", content)
                visitor.values.clear()
                visitor.widget("button", "Save")
            await scene.pause(READ_SECONDS)
            with scene.times.of("open Runs"):
                await visitor.open("Runs")
            await scene.pause(READ_SECONDS)


async def predict(scene: Scene) -> None:
    """Have a text labelled every few seconds."""
    numbers = random.Random(len(scene.times.seconds))
    async with visit(scene) as visitor:
        with scene.times.of("open Predict"):
            await visitor.open("Predict", f"run={scene.finished_run}")
        while not scene.leave.is_set():
            text = f"{numbers.choice(TEXTS)} {numbers.randrange(1000)}"
            with scene.times.of("predict a text"):
                await visitor.press("Label it", Text=text)
            if "with a probability of" not in visitor.words():
                raise LookupError(f"no answer: {visitor.words()[-1000:]}")
            await scene.pause(TYPE_SECONDS)
