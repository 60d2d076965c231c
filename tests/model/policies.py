"""mbind and migrate_pages: pages on other nodes are collected, then moved together."""

from contextlib import contextmanager

from .parts import ZERO, Refused


class Policies:
    @contextmanager
    def without_batches(self):
        self.drain()
        self.no_batches = self.profile["batches"] == "disabled"
        try:
            yield
        finally:
            self.no_batches = False

    def op_mbind(self, word, node, *options):
        region, selected = self.selected(self.regions, word)
        node = int(node.removeprefix("node="))
        if {"move", "move_all"} & set(options):
            with self.without_batches():
                self.bind(region, selected, node, options)
        else:
            self.bind(region, selected, node, options)
        return {"calls_ret": [[1, 0]]}

    def bind(self, region, selected, node, options):
        queued, failed = [], 0
        for index in selected:
            if index in region.gone:
                self.put_back(queued)
                raise Refused("EFAULT")
            frame = self.frame_of(region, index)
            if frame is None or frame.node == node:
                continue
            if not {"move", "move_all"} & set(options):
                if "strict" in options:
                    raise Refused("EIO")
            elif len(frame.maps) == 1 or "move_all" in options:
                failed += not self.isolated(frame, queued)
        for index in selected:
            region.policy[index] = node, "preferred" in options
            if region.file is not None and not region.file.of_disk:
                region.file.policy[index] = region.policy[index]
        region.merge()
        failed += self.migrate(queued, node)
        if failed and "strict" in options:
            raise Refused("EIO")

    def op_migrate(self, *words):
        words = dict(word.split("=") for word in words)
        source, target = int(words["from"]), int(words["to"])
        regions = self.children[words["pid"]] if "pid" in words else self.regions
        with self.without_batches():
            queued = []
            for region in regions.values() if source != target else ():
                for index in range(region.pages):
                    frame = self.frame_of(region, index)
                    if frame is not None and frame.node == source:
                        self.isolated(frame, queued)
            return {"ret": self.migrate(queued, target)}

    @staticmethod
    def frame_of(region, index):
        entry = region.entries.get(index)
        return None if entry is None or entry.frame is ZERO else entry.frame

    @staticmethod
    def isolated(frame, queued):
        if "LRU" not in frame.flags:
            return False
        frame.flags -= {"LRU"}
        frame.isolated = 1
        queued.append(frame)
        return True

    def put_back(self, queued):
        for frame in queued:
            self.lru_add(frame)
            frame.isolated = 0
