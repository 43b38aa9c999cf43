"""What the page knows: the model as compact JSON, drawn on demand by page.js."""

import collections
import os

from ..model import group_of
from .prose import html_of
from .spacetime import svg_of

# Texts of files that go into the page, so that it needs nothing else.
MOST_OF_A_FILE = 64 << 10
MOST_OF_FILES = 8 << 20
STATUSES = ("passed", "failed", "skipped", "crashed", "hung", "unknown")
# What a cell counts: findings by severity, and checks.  `failed` are those whose finding is told
# under another check.
CELL = ("passed", "MUST", "SHOULD", "QUALITY", "waived", "failed", "skipped", "unknown")
RANKS = ("failed", "passed", "unknown", "skipped")  # over the seeds of a row, the first of these


class Table:
    """Texts that come again and again, by number."""

    def __init__(self):
        self.texts, self.numbers = [], {}

    def number(self, text):
        if text not in self.numbers:
            self.numbers[text] = len(self.texts)
            self.texts.append(text)
        return self.numbers[text]


class PageData:
    def __init__(self, model):
        self.model = model
        self.room = MOST_OF_FILES
        self.checks, self.reasons = Table(), Table()
        self.job_numbers = {id(job): index for index, job in enumerate(model.jobs)}
        self.row_numbers = {row: index for index, row in enumerate(model.rows)}

    def value(self):
        model = self.model
        groups = sorted({group_of(check["id"]) for job in model.jobs for check in job.checks}
                        | {group_of(f.rule) for f in model.findings})
        of_row = collections.defaultdict(list)
        for index, finding in enumerate(model.findings):
            of_row[finding.row].append(index)
        return {
            "groups": groups, "cell": CELL, "statuses": STATUSES,
            "rows": [self.row(row, jobs, groups, of_row[row])
                     for row, jobs in model.rows.items()],
            "jobs": [self.job(job) for job in model.jobs],
            "findings": [self.finding(finding) for finding in model.findings],
            "rules": {rule: self.rule(rule) for rule in sorted({f.rule for f in model.findings})},
            "checks": self.checks.texts, "reasons": self.reasons.texts,
            "baseline": model.has_baseline,
        }

    def row(self, row, jobs, groups, findings):
        """Counts are of rules' findings and of checks, whatever the number of seeds."""
        cells = {group: dict.fromkeys(CELL, 0) for group in groups}
        best = {}
        for job in jobs:
            for check in job.checks:
                status = check["status"]
                rank = RANKS.index(status if status in RANKS else "failed")
                best[check["id"]] = min(rank, best.get(check["id"], 9))
        broken = {f["check"] for job in jobs for f in job.findings}
        for check, rank in best.items():
            if check not in broken:
                cells[group_of(check)][RANKS[rank]] += 1
        for index in findings:
            finding = self.model.findings[index]
            kind = "waived" if finding.waived else finding.severity
            if kind in CELL:
                cells[group_of(finding.rule)][kind] += 1
        verdicts = collections.Counter(job.verdict for job in jobs)
        return {
            "name": row, "verdicts": dict(verdicts),
            "bad": any(job.exit_code not in (0, None) for job in jobs),
            "cells": [[cells[group][kind] for kind in CELL] for group in groups],
            "operations": sum(job.report["operations"] for job in jobs if job.report),
            "seconds": round(sum(job.seconds for job in jobs), 1),
            "jobs": [self.job_numbers[id(job)] for job in jobs], "findings": findings,
        }

    def job(self, job):
        report = job.report or {}
        value = {
            "row": self.row_numbers[job.job.row], "seed": job.job.seed, "id": job.job.id,
            "verdict": job.verdict, "host": job.host, "seconds": round(job.seconds, 1),
            "attempt": job.result.get("attempt", 0), "command": job.result.get("command", []),
            "operations": report.get("operations", 0),
            "checks": [[self.checks.number(check["id"]),
                        STATUSES.index(check["status"]) if check["status"] in STATUSES else 5,
                        self.reasons.number(check.get("reason") or ""),
                        round(check["seconds"] * 1000), check["operations"]]
                       for check in job.checks],
        }
        if job.reason:
            value["reason"] = job.reason
        if not job.report and job.result.get("output"):
            value["output"] = job.result["output"]
        if report.get("notes"):
            value["notes"] = report["notes"]
        return value

    def text_of(self, job, path):
        """A file of a finding; None where it cannot be read or there is no room left."""
        if not path:
            return None
        try:
            with open(os.path.join(job.job.directory or job.place, path), encoding="utf-8",
                      errors="replace") as file:
                text = file.read(MOST_OF_A_FILE + 1)
        except OSError:
            return None
        if len(text) > min(MOST_OF_A_FILE, self.room):
            return None
        self.room -= len(text)
        return text

    def finding(self, finding):
        job, best = finding.best
        svg, details = svg_of(list(best.get("details") or ()))
        value = {
            "row": self.row_numbers[finding.row], "rule": finding.rule,
            "severity": finding.severity, "rate": finding.rate, "decides": finding.decides,
            "seeds": [job.job.seed for job in finding.jobs], "details": details, "svg": svg,
            "plan_text": self.text_of(job, best.get("plan")),
            "script_text": self.text_of(job, best.get("nbdsh")),
            "baseline": finding.baseline, "waived": finding.waived,
        }
        for key in ("title", "check", "message", "expected", "actual", "calls", "plan", "nbdsh",
                    "replay", "original_operations", "occurrences", "on_nbdkit"):
            value[key] = best.get(key)
        return value

    def rule(self, rule_id):
        rule = self.model.catalogue["rules"].get(rule_id, {})
        return {"title": rule.get("title", ""), "severity": rule.get("severity", ""),
                "since": rule.get("since", ""), "source": rule.get("source", ""),
                "html": html_of(rule.get("text", ""))}
