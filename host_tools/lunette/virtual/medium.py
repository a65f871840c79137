"""Who hears whom: the bus between the controllers of one air."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from bumble import ll
from bumble.link import LocalLink

from lunette.virtual.link_model import LinkModel
from lunette.virtual.radio_link import Endpoint, LinkStats, RadioLink

if TYPE_CHECKING:
    from lunette.virtual.controller import RadioConnection, RadioController


class Medium(LocalLink):
    """Carries adverts, makes links, and knows which controllers are out of range.

    Bumble's own bus finds the receiver of each packet by address, delivers it at once and keeps its
    controllers in a set, whose order differs from run to run. Here connections own a `RadioLink`
    and controllers are kept in the order they came.
    """

    def __init__(self, model: LinkModel) -> None:
        super().__init__()
        self._attached: dict[RadioController, None] = {}
        self._hidden: set[RadioController] = set()
        self._links: list[RadioLink] = []
        self._unwatch: Callable[[], None] = lambda: None
        self.stats = LinkStats()
        self.advertisements = 0
        self.model = model

    @property
    def model(self) -> LinkModel:
        return self._model

    @model.setter
    def model(self, model: LinkModel) -> None:
        self._unwatch()
        self._model = model
        self._unwatch = model.watch(self._on_model_change)
        self.rng = random.Random(model.seed)
        self._seed = model.seed
        for link in self.links:
            link.use_model(model)
        self._on_model_change()

    def _on_model_change(self) -> None:
        if self._seed != self._model.seed:
            self._seed = self._model.seed
            self.rng.seed(self._seed)
        for link in self.links:
            if link.central is not None:
                cast("RadioConnection", link.central).on_model_change(self._model)

    # Controllers

    @property
    def attached(self) -> list[RadioController]:
        return list(self._attached)

    def add_controller(self, controller: RadioController) -> None:  # type: ignore[override]
        self._attached[controller] = None

    def remove_controller(self, controller: RadioController) -> None:  # type: ignore[override]
        self._attached.pop(controller, None)
        self._hidden.discard(controller)

    def reachable(self, one: RadioController, other: RadioController) -> bool:
        return not ({one, other} & self._hidden)

    def set_in_range(self, controller: RadioController, in_range: bool) -> None:
        if in_range:
            self._hidden.discard(controller)
        else:
            self._hidden.add(controller)
        for link in self.links:
            connections = cast("list[RadioConnection | None]", [link.central, link.peripheral])
            ends = [connection.controller for connection in connections if connection is not None]
            if controller in ends:
                if all(end not in self._hidden for end in ends):
                    link.unblock()
                else:
                    link.block()

    # Traffic

    def send_advertising_pdu(self, sender: RadioController, pdu: ll.AdvertisingPdu) -> None:  # type: ignore[override]
        self.advertisements += 1
        loop = asyncio.get_running_loop()
        for controller in self._attached:
            if controller is not sender and self.reachable(sender, controller):
                loop.call_soon(controller.on_ll_advertising_pdu, pdu)

    def connect(self, central: Endpoint, peripheral: Endpoint) -> RadioLink:
        """A new link between two `RadioConnection`s that have just agreed on one."""
        # A generator of its own, so that what one link draws does not depend on the others' traffic.
        rng = random.Random(self.rng.getrandbits(64))
        link = RadioLink(central, peripheral, self._model, self.stats, rng)
        self._links.append(link)
        return link

    @property
    def links(self) -> list[RadioLink]:
        """The links that are up or on their way out."""
        self._links = [link for link in self._links if not link.closed]
        return list(self._links)

    def close(self) -> None:
        self._unwatch()
