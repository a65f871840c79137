"""Speech into the frames of a recording, by the codec that is set.

====== ======== ============================ ===================== ============ ======
codec  kbit/s   coding                       samples a coded frame bytes of it  in 20 ms
====== ======== ============================ ===================== ============ ======
dvi4   64 (+ 2) IMA ADPCM of `dsp.adpcm`     320                   164          1
mulaw  128      G.711 mu-law of `dsp.mulaw`  160                   160          2
pcm    256      16 bits, little-endian       80                    160          4
====== ======== ============================ ===================== ============ ======

A coded frame fits a slot of the journal (176 bytes). Only the kernel of that codec is imported: after a
wake-up this is among the first things that are.
"""

CODECS = ("dvi4", "mulaw", "pcm")


class Coder:
    """`codec` is one of `CODECS` (else ValueError). Coded frames have `frame_samples` and `frame_bytes`, and
    there are `per_frame` of them in 20 ms, `bytes` together. `state` (4 bytes) is what a frame leaves to the
    next."""

    def __init__(self, codec):
        self.codec = codec
        self.state = bytearray(4)
        if codec == "dvi4":
            from glasses.dsp import adpcm

            self._adpcm = adpcm.encode
            self.encode = self._dvi4
            self.frame_samples = adpcm.FRAME_SAMPLES
            self.frame_bytes = adpcm.FRAME_BYTES
        elif codec == "mulaw":
            from glasses.dsp import mulaw

            self._ulaw = mulaw.encode
            self.encode = self._mulaw
            self.frame_samples = self.frame_bytes = 160
        elif codec == "pcm":
            from glasses.dsp import pcm

            self._copy = pcm.copy
            self.encode = self._pcm
            self.frame_samples = 80
            self.frame_bytes = 160
        else:
            raise ValueError("no codec %s" % codec)
        self.per_frame = 320 // self.frame_samples
        self.bytes = self.per_frame * self.frame_bytes

    def reset(self):
        """The start of a recording."""
        state = self.state
        state[0] = state[1] = state[2] = state[3] = 0

    def whole(self, pcm, out, out_off):
        """Code all 20 ms of `pcm` to `out[out_off:]`."""
        for i in range(self.per_frame):
            self.encode(pcm, i * self.frame_samples, out, out_off)
            out_off += self.frame_bytes

    # `encode` is one of these: code `frame_samples` of `pcm` (int16 in the machine's order) from sample
    # `pcm_off` on to `out[out_off:]`, and return `frame_bytes`. None allocates: a bound method takes up to
    # four arguments on the stack.

    def _dvi4(self, pcm, pcm_off, out, out_off):
        return self._adpcm(pcm, pcm_off, out, out_off, 320, self.state)

    def _mulaw(self, pcm, pcm_off, out, out_off):
        return self._ulaw(pcm, pcm_off, out, out_off, 160)

    def _pcm(self, pcm, pcm_off, out, out_off):
        self._copy(out, out_off, pcm, pcm_off + pcm_off, 160)
        return 160
