"""A controller's resolving list: whose private addresses it can tell (Vol 6, Part B, 6)."""

from __future__ import annotations

from bumble.hci import Address
from bumble.smp import AddressResolver

_MAX_CACHED = 100


class ResolvingList:
    """Identity addresses and identity keys of bonded peers. It has no limit of entries here."""

    def __init__(self) -> None:
        self._keys: list[tuple[bytes, Address]] = []
        self._cache: dict[bytes, Address | None] = {}

    def clear(self) -> None:
        self._keys.clear()
        self._cache.clear()

    def add(self, irk: bytes, identity: Address) -> None:
        """An identity key of zeros is for peers that have none; they are left out."""
        if any(irk):
            self._keys.append((irk, identity))
            self._cache.clear()

    def resolve(self, address: Address) -> Address:
        """The identity address behind a private one, marked as such, or `address` itself."""
        if not self._keys or not address.is_resolvable:
            return address
        raw = bytes(address)
        if raw not in self._cache:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[raw] = AddressResolver(self._keys).resolve(address)
        return self._cache[raw] or address
