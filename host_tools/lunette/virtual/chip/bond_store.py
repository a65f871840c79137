"""The program as the stack's store of bonds: which questions NimBLE asks for which purpose."""

from __future__ import annotations

from lunette.virtual.chip.questions import Questions
from lunette.virtual.chip.secrets import OUR_SEC, PEER_SEC, SECRET_BYTES, Secret

# NimBLE has no such limit: a program that makes it ask for ever stops its Bluetooth for good.
ROUNDS = 100
# MicroPython has no way to say "any" when it is about our own keys: it asks for an address of zeros.
_ANY = bytes(7)


class StackStuck(Exception):
    """The program's answers keep the stack asking for ever."""


class BondStore:
    """`secret_bytes` is the size of a secret in this build of the stack; others are not found."""

    def __init__(self, questions: Questions):
        self._ask = questions
        self.secret_bytes = SECRET_BYTES

    def is_secret(self, value: bytes | None) -> bool:
        return Secret.unpack(value, self.secret_bytes) is not None

    async def check_room(self) -> None:
        """ble_sm_chk_store_overflow: counts. A full store is no obstacle to MicroPython."""
        await self.peers(PEER_SEC, None)
        await self.peers(OUR_SEC, _ANY)

    async def remove_for_pairing(self, key: bytes) -> None:
        """ble_sm_chk_repeat_pairing: MicroPython deletes the bond that is in the way, until it is gone."""
        for _ in range(ROUNDS):
            if await self.read(PEER_SEC, key) is None:
                return
            await self.delete_peer(key)
        raise StackStuck("deleting a bond does not remove it")

    async def read(self, kind: int, key: bytes) -> Secret | None:
        return Secret.unpack(await self._ask.get_secret(kind, 0, key), self.secret_bytes)

    async def peers(self, kind: int, key: bytes | None) -> list[bytes]:
        found: list[bytes] = []
        for index in range(ROUNDS):
            secret = Secret.unpack(await self._ask.get_secret(kind, index, key), self.secret_bytes)
            if secret is None:
                return found
            found.append(secret.peer)
        raise StackStuck("there is always another secret")

    async def write(self, kind: int, secret: Secret) -> bool:
        """ble_store_write. False: the program did not take it and there is nothing to make room with."""
        value = secret.pack(self.secret_bytes)
        for _ in range(ROUNDS):
            if await self._ask.set_secret(kind, secret.peer, value):
                return True
            # The oldest bond has to go, but they are looked for with an address of zeros (see above).
            peers = await self.peers(OUR_SEC, _ANY)
            if not peers:
                return False
            await self.delete_peer(peers[0])
        raise StackStuck("there is no room for a bond, ever")

    async def delete_peer(self, key: bytes) -> None:
        for kind in (OUR_SEC, PEER_SEC):
            for _ in range(ROUNDS):
                if not await self._ask.set_secret(kind, key, None):
                    break
            else:
                raise StackStuck("deleting what is not there must not succeed")
