# Your glasses. Hold the button to talk; change the rest here.
import glasses


@glasses.on("double")
def bookmark(event):
    glasses.note("bookmark")


glasses.run()
