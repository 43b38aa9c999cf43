#!/usr/bin/python3
"""nbdcheck judge: saved histories, good, violated and bad."""

import nbdcheck_runs
from nbdcheck_runs import Case


def line(client, op, value, begin, end, sector=7):
    return (f'{{"client": {client}, "op": "{op}", "sector": {sector}, "value": {value}, '
            f'"begin": {begin}, "end": {end}}}\n')


NEW_THEN_OLD = line(0, "write", 4711, 100, 140) + line(1, "read", 4711, 120, 133) + \
    line(1, "read", 0, 134, 139)


class Judge(Case):
    def judge(self, text, *options):
        return self.run_it("judge", *options, self.write("history.jsonl", text).name)

    def test_holds(self):
        done = self.judge(NEW_THEN_OLD)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"^HOLDS: regular in 1 sector; 3 operations judged in ")

    def test_violated_at_the_level_chosen(self):
        done = self.judge(NEW_THEN_OLD, "--consistency=atomic")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("not atomic sector 7: ", done.stdout)
        self.assertIn("    line 3  client 1  read() = 0 ", done.stdout)
        self.assertRegex(done.stdout.splitlines()[-1], r"^VIOLATED: not atomic in 1 of 1 sectors; ")

    def test_violated(self):
        done = self.judge(line(0, "write", 1, 0, 1) + line(1, "read", 2, 5, 6))
        self.assertEqual(done.returncode, 1)
        self.assertIn("nobody wrote", done.stdout)

    def test_many_sectors_are_counted(self):
        done = self.judge("".join(line(0, "read", 1, i, i, sector=i) for i in range(100)))
        self.assertEqual(done.returncode, 1)
        self.assertIn("and 90 more sectors", done.stdout)
        self.assertIn("VIOLATED: not regular in 100 of 100 sectors", done.stdout)

    def test_bad_files(self):
        for text, words in ((NEW_THEN_OLD[:-20], "line 3: not a JSON object"),
                            ("\0\0", "line 1: not a JSON object"),
                            (line(0, "trim", 1, 0, 1), 'line 1: "op" is none of'),
                            (line(0, "read", 1, 5, 1), "line 1: it ends before it begins"),
                            (line(0, "read", 0, 0, 5) + line(0, "read", 0, 4, 6), "overlaps line 1")):
            done = self.judge(text)
            self.assertEqual((done.returncode, done.stdout), (2, ""), text)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertIn(words, done.stderr)

    def test_no_file(self):
        for arguments in (("judge", "missing.jsonl"), ("judge", "."), ("judge",),
                          ("judge", "a", "b"), ("judge", "--consistency=none", "a")):
            done = self.run_it(*arguments)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), arguments)

    def test_nothing_is_not_good(self):
        self.assertEqual(self.judge("").returncode, 4)


if __name__ == "__main__":
    nbdcheck_runs.main()
