"""SARIF 2.1.0: a result for each rule broken in each row, for code scanning."""

import hashlib
import json
import os
import urllib.parse

LEVELS = {"MUST": "error", "SHOULD": "warning", "QUALITY": "note"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def uri_of(path):
    """Relative to where the command runs, as code scanning wants it; else absolute."""
    if not os.path.isabs(path):
        return urllib.parse.quote(path.removeprefix("./"))
    relative = os.path.relpath(path)
    if not relative.startswith(".."):
        return urllib.parse.quote(relative)
    return "file://" + urllib.parse.quote(path)


def rule_of(rule_id, rule, severity):
    text = rule.get("text", "")
    described = {
        "id": rule_id,
        "name": "".join(part.capitalize() for part in rule_id.replace(".", "-").split("-")),
        "shortDescription": {"text": rule.get("title") or rule_id},
        "defaultConfiguration": {"level": LEVELS.get(rule.get("severity", severity), "warning")},
        "properties": {"severity": rule.get("severity", severity), "tags": ["nbdkit"]},
    }
    if text:
        plain = text.partition("\n## ")[0].strip()
        described["fullDescription"] = {"text": plain}
        described["help"] = {"text": text, "markdown": text}
    return described


def message_of(finding):
    _, best = finding.best
    lines = [best.get("message") or finding.title]
    for key in ("expected", "actual"):
        if best.get(key):
            lines.append(f"{key.capitalize()}: {best[key]}.")
    if best.get("calls"):
        lines.append("Sequence: " + "; ".join(best["calls"][:20])
                     + ("; ..." if len(best["calls"]) > 20 else "") + ".")
    lines.append(f"Seen in {finding.rate}: {finding.row}.")
    if best.get("replay"):
        lines.append(f"Replay: {best['replay']}")
    return "\n".join(lines)


def result_of(finding, indexes):
    job, best = finding.best
    path = (job.report["plugin"].get("path") or job.job.plugin)
    identity = hashlib.sha256(f"{finding.row}\0{finding.rule}".encode()).hexdigest()
    result = {
        "ruleId": finding.rule,
        "ruleIndex": indexes[finding.rule],
        "kind": "fail",
        "level": LEVELS.get(finding.severity, "warning"),
        "message": {"text": message_of(finding)},
        "locations": [{
            "physicalLocation": {"artifactLocation": {"uri": uri_of(path)},
                                 "region": {"startLine": 1}},
            "logicalLocations": [{"name": finding.row, "kind": "module"}]}],
        "partialFingerprints": {"nbdcheckRowAndRule/v1": identity},
        "occurrenceCount": sum(f.get("occurrences") or 1 for _, f in finding.seen),
        "properties": {"check": best.get("check"), "found": len(finding.jobs),
                       "runs": finding.runs, "seeds": [j.job.seed for j in finding.jobs]},
    }
    if finding.waived:
        result["suppressions"] = [{"kind": "external", "status": "accepted",
                                   "justification": finding.waived.get("reason") or ""}]
    if finding.baseline:
        result["baselineState"] = {"new": "new", "still": "unchanged"}[finding.baseline]
    return result


def invocation_of(model):
    notes = [{"level": "error",
              "message": {"text": f"{job.state}: {job.job.row}, seed {job.job.seed}: {job.reason}"}}
             for job in model.without_verdict]
    notes += [{"level": "note",
               "message": {"text": f"skipped: {job.job.row}, seed {job.job.seed}: {job.reason}"}}
              for job in model.skipped]
    return {"executionSuccessful": not model.without_verdict, "exitCode": model.exit_code,
            "toolExecutionNotifications": notes}


def sarif_report(model):
    severities = {}
    for finding in model.findings:
        severities.setdefault(finding.rule, finding.severity)
    for gone in model.gone:
        severities.setdefault(gone["rule"], gone.get("severity", "MUST"))
    indexes = {rule: index for index, rule in enumerate(sorted(severities))}
    rules = [rule_of(rule, model.catalogue["rules"].get(rule, {}), severities[rule])
             for rule in indexes]
    results = [result_of(finding, indexes) for finding in model.findings]
    results += [{
        "ruleId": gone["rule"], "ruleIndex": indexes[gone["rule"]], "baselineState": "absent",
        "kind": "fail", "level": LEVELS.get(gone.get("severity"), "warning"),
        "message": {"text": f"No longer seen: {gone['row']}"},
        "partialFingerprints": {"nbdcheckRowAndRule/v1": hashlib.sha256(
            f"{gone['row']}\0{gone['rule']}".encode()).hexdigest()},
    } for gone in model.gone]
    driver = {"name": "nbdcheck", "rules": rules}
    if model.about.get("nbdcheck"):
        driver["version"] = model.about["nbdcheck"]
    return json.dumps({
        "$schema": SCHEMA, "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints",
                  "invocations": [invocation_of(model)], "results": results}],
    }, indent=1, ensure_ascii=False) + "\n"
