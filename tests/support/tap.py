"""Test lines as prove reads them: tap.ok(good, what) for each, sys.exit(tap.done()) at the end."""


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def ok(self, good, what):
        self.count += 1
        self.failed += not good
        print("ok" if good else "not ok", self.count, "-", what, flush=True)
        return good

    def note(self, text):
        print("# " + text.strip().replace("\n", "\n# "), flush=True)

    def done(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0
