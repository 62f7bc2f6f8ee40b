"""What a footer did to messages, seen by Python's email package: a reader that shares no code with outgate.

Standard input: JSON, {"notice", "letters": [{"name", "before", "after", "what", "behind", "front"}]}, where before and
after are files. Standard output: one {"name", "faults": []} a letter. A fault is [class, words]. The classes:

    tree          another tree of parts, or a part with another type or name
    defect        the parser finds something malformed that was not so before
    attachment    a part that is not the author's text has other bytes
    charset       a text cannot be read in the charset that it names any more, and could before
    text          the author's text is not as it was, apart from one insertion
    missing       no notice where one belongs
    spoiled       the notice stands there with other letters than it has
    double        more than one notice in the author's own text
    place         the notice is not behind the author's words, or not in front of the quotation
    signature     what a signature covers has other bytes
    encrypted     an encrypted part has other bytes
    left          a message that loses its meaning with a notice in it was changed
    line          a line of more than 998 bytes, or a bare CR or LF
    transport     bytes above 127 in a message that had none
"""

import codecs
import email
import email.policy
import hashlib
import html.parser
import json
import re
import sys

# Names of charsets that Python spells otherwise.
PYTHON = {"x-mac-cyrillic": "mac-cyrillic", "windows-874": "cp874", "iso-8859-8-i": "iso-8859-8", "ks_c_5601-1987": "cp949",
          "macintosh": "mac-roman", "dos-874": "cp874"}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def walk(part, depth=0):
    yield depth, part
    if part.is_multipart():
        for inner in part.get_payload():
            yield from walk(inner, depth + 1)


def leaves(message):
    return [part for _, part in walk(message) if not part.is_multipart()]


def tree(message):
    return [(depth, part.get_content_type(), part.get_filename(), part.get_content_disposition()) for depth, part in walk(message)]


def enclosed(message):
    """Leaves below a message/rfc822: of another's message."""
    inner = set()
    for _, part in walk(message):
        if part.get_content_maintype() == "message":
            inner.update(id(leaf) for child in part.get_payload() for leaf in leaves(child)) if part.is_multipart() else None
    return inner


def is_text(part):
    named = part.get_filename() is not None or part.get_content_disposition() == "attachment"
    return part.get_content_type() in ("text/plain", "text/html") and not named


def decoded(part):
    """The text of a part, or None when it is not what its charset says."""
    content = part.get_payload(decode=True) or b""
    label = (part.get_content_charset() or "us-ascii").lower()
    if part.get_content_charset() is None and not content.isascii():
        # What readers make of it.
        label = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
    try:
        text = content.decode(PYTHON.get(label, label))
        return text.replace("\r\n", "\n")
    except (UnicodeDecodeError, LookupError):
        return None


class Shown(html.parser.HTMLParser):
    """The text of HTML, without what no reader shows."""

    HIDDEN = ("style", "script", "title", "textarea", "option")
    LINE = ("p", "div", "br", "tr", "li", "table", "blockquote", "h1", "h2", "h3", "hr", "ul", "ol")

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.hidden = [], 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in self.HIDDEN
        if tag in self.LINE:
            self.out.append("\n")

    def handle_endtag(self, tag):
        self.hidden = max(0, self.hidden - (tag in self.HIDDEN))

    def handle_data(self, data):
        if not self.hidden:
            self.out.append(data)


def shown(part, text):
    if part.get_content_type() != "text/html":
        return text
    parser = Shown()
    parser.feed(text)
    parser.close()
    return "".join(parser.out)


def essence(text):
    return "".join(c for c in text if c.isalnum())


def folded(text):
    return " ".join(text.split())


def own(text):
    """Without lines that are quoted by their sign."""
    return "\n".join(line for line in text.split("\n") if not line.startswith(">"))


def grown_in_one_place(old, new):
    """Whether `new` is `old` with one insertion; blanks and soft breaks at the seams do not count."""
    old, new = folded(old), folded(new)
    front = 0
    while front < min(len(old), len(new)) and old[front] == new[front]:
        front += 1
    back = 0
    while back < min(len(old), len(new)) - front and old[-1 - back] == new[-1 - back]:
        back += 1
    return len(old) - front - back <= 1


def placed(text, notice, behind, front):
    """Whether the one notice stands where it belongs."""
    text, wanted = essence(text), essence(notice)
    at = text.find(wanted)
    if behind and text.rfind(essence(behind), 0, at) < 0:
        return False
    if front:
        quote = text.find(essence(front), text.find(essence(behind)) if behind else 0)
        return at < quote
    # The end: nothing but the notice itself behind it.
    return behind == "" or essence(behind) not in text[at + len(wanted):]


class Letter:
    def __init__(self, letter, notice):
        self.letter, self.notice = letter, notice
        self.old_bytes, self.new_bytes = read(letter["before"]), read(letter["after"])
        self.old = email.message_from_bytes(self.old_bytes, policy=email.policy.compat32)
        self.new = email.message_from_bytes(self.new_bytes, policy=email.policy.compat32)
        self.faults = []

    def fault(self, kind, words):
        if [kind, words] not in self.faults:
            self.faults.append([kind, words])

    def check(self):
        self.transport()
        what = self.letter["what"]
        if what.startswith(("left", "fails")):
            if body(self.old_bytes) != body(self.new_bytes):
                self.fault(self.changed_class(what), what)
            return self.faults
        old_tree, new_tree = tree(self.old), tree(self.new)
        added = what == "added"
        if added:
            return self.added()
        if old_tree != new_tree:
            self.fault("tree", f"{len(old_tree)} parts, then {len(new_tree)}")
        self.parts()
        return self.faults

    def changed_class(self, what):
        if "signed or encrypted" not in what:
            return "left"
        name = self.letter["name"]
        return "encrypted" if "encrypted" in name else "signature"

    def transport(self):
        if self.old_bytes.isascii() and not self.new_bytes.isascii():
            self.fault("transport", "bytes above 127 in a message that had none")
        longest = lambda bytes: max(len(line.rstrip(b"\r")) for line in bytes.split(b"\n"))
        if longest(self.new_bytes) > 998 >= longest(self.old_bytes):
            self.fault("line", f"a line of {longest(self.new_bytes)} bytes")
        bare = lambda bytes: len(re.findall(rb"(?<!\r)\n|\r(?!\n)", bytes))
        if b"\r\n" in self.old_bytes and bare(self.old_bytes) == 0 and bare(self.new_bytes) > 0:
            self.fault("line", f"{bare(self.new_bytes)} bare CR or LF")
        defects = lambda message: sum(len(part.defects) for _, part in walk(message))
        if defects(self.new) > defects(self.old):
            names = {type(defect).__name__ for _, part in walk(self.new) for defect in part.defects}
            self.fault("defect", ", ".join(sorted(names)))

    def added(self):
        """A message of files alone: the same files, and one more text."""
        hashes = lambda message: [digest(part) for part in leaves(message) if not is_text(part)]
        if [one for one in hashes(self.new) if one in hashes(self.old)] != hashes(self.old):
            self.fault("attachment", "a file has other bytes or is gone")
        texts = [part for part in leaves(self.new) if is_text(part) and id(part) not in enclosed(self.new)]
        stands = [part for part in texts if essence(self.notice) in essence(shown(part, decoded(part) or ""))]
        if not stands:
            self.fault("missing", "in a message of files alone")
        return self.faults

    def parts(self):
        old_inner, new_inner = enclosed(self.old), enclosed(self.new)
        old_leaves, new_leaves = leaves(self.old), leaves(self.new)
        others = lambda all, inner: [part for part in all if not is_text(part) or id(part) in inner]
        if [digest(part) for part in others(old_leaves, old_inner)] != [digest(part) for part in others(new_leaves, new_inner)]:
            self.fault("attachment", "a file has other bytes or is gone")
        mine = lambda all, inner: [part for part in all if is_text(part) and id(part) not in inner]
        old_texts, new_texts = mine(old_leaves, old_inner), mine(new_leaves, new_inner)
        stands = {"text/plain": 0, "text/html": 0}
        for index, part in enumerate(new_texts):
            text = decoded(part)
            before = old_texts[index] if index < len(old_texts) and len(old_texts) == len(new_texts) else None
            old_text = decoded(before) if before is not None else None
            if text is None:
                if before is not None and old_text is not None or before is None:
                    self.fault("charset", f"{part.get_content_type()} in {part.get_content_charset()}")
                continue
            seen = shown(part, text)
            if before is not None and old_text is not None and not grown_in_one_place(shown(before, old_text), seen):
                self.fault("text", f"{part.get_content_type()} reads differently")
            stands[part.get_content_type()] += self.notices(part, seen)
        kinds = {part.get_content_type() for part in old_texts} or {"text/plain"}
        for kind in kinds:
            if stands[kind] == 0 and self.letter["what"] == "notice":
                self.fault("missing", f"in {kind}")

    def notices(self, part, seen):
        """How many notices stand in one part, of which one is right."""
        count = essence(own(seen)).count(essence(self.notice))
        if count > 1:
            self.fault("double", f"{count} in {part.get_content_type()}")
        if count:
            if folded(self.notice) not in folded(seen):
                self.fault("spoiled", f"in {part.get_content_type()}")
            if count == 1 and not placed(seen, self.notice, self.letter["behind"], self.letter["front"]):
                self.fault("place", f"in {part.get_content_type()}")
        return count


def body(bytes):
    return re.split(rb"\r?\n\r?\n", bytes, maxsplit=1)[-1]


def digest(part):
    content = part.get_payload(decode=True)
    return part.get_content_type(), part.get_filename(), hashlib.sha256(content if content is not None else b"").hexdigest()


def main():
    task = json.load(sys.stdin)
    for letter in task["letters"]:
        try:
            faults = Letter(letter, task["notice"]).check()
        except Exception as error:  # Whatever the parser cannot read is a fault of the letter.
            faults = [["defect", repr(error)]]
        print(json.dumps({"name": letter["name"], "faults": faults}))


main()
