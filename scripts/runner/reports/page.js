"use strict";
// Draws the matrix and the findings from the data of the page, a few hundred at
// a time: a run may have thousands.  All text goes in as text, never as markup;
// markup are only the diagrams and rule texts, which the runner has escaped.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const STEP = 200;
  const MARK = {MUST: "M", SHOULD: "S", QUALITY: "Q", waived: "w"};
  const $ = (id) => document.getElementById(id);
  let shownRows = STEP, shownFindings = STEP;

  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key === "onclick") element.addEventListener("click", value);
      else if (value !== null && value !== undefined) element.setAttribute(key, value);
    }
    for (const child of children) {
      if (child !== null && child !== undefined) element.append(child);
    }
    return element;
  }
  const tag = (kind, text) => make("span", {class: "tag " + kind}, text || kind);

  // ---- filters

  function chosen() {
    return {
      words: $("search").value.toLowerCase().split(/\s+/).filter(Boolean),
      group: $("group").value,
      severities: new Set([...document.querySelectorAll(".severity:checked")].map((b) => b.value)),
      waived: $("waived").checked,
      bad: $("bad").checked,
      baseline: $("baseline") ? $("baseline").value : "",
    };
  }
  const groupOf = (rule) => rule.split(".")[0];
  const has = (words, text) => words.every((word) => text.includes(word));

  data.findings.forEach((f) => {
    f.text = [data.rows[f.row].name, f.rule, f.title, f.message].join(" ").toLowerCase();
  });
  data.rows.forEach((row) => {
    row.text = (row.name + " " + row.findings.map((f) => data.findings[f].text).join(" ") + " " +
                Object.keys(row.verdicts).join(" ")).toLowerCase();
  });

  function findingFits(f, want) {
    return want.severities.has(f.severity) && (want.waived || !f.waived) &&
      (!want.group || groupOf(f.rule) === want.group) &&
      (!want.baseline || f.baseline === want.baseline) && has(want.words, f.text);
  }
  function rowFits(row, want) {
    if (want.bad && !row.bad) return false;
    if (want.baseline && !row.findings.some((f) => findingFits(data.findings[f], want)))
      return false;
    return has(want.words, row.text);
  }

  // ---- matrix

  function worstOf(row) {
    const kinds = row.findings.map((f) => data.findings[f])
      .map((f) => f.waived ? "waived" : f.severity);
    return ["MUST", "SHOULD", "QUALITY", "waived"].find((kind) => kinds.includes(kind)) || "MUST";
  }

  function cellOf(row, index) {
    const counts = Object.fromEntries(data.cell.map((kind, at) => [kind, row.cells[index][at]]));
    const group = data.groups[index];
    const found = ["MUST", "SHOULD", "QUALITY", "waived"].filter((kind) => counts[kind]);
    let kind, text;
    if (found.length) {
      kind = found[0];
      text = found.map((k) => MARK[k] + counts[k]).join(" ");
    } else if (counts.failed) [kind, text] = [worstOf(row), "x" + counts.failed];
    else if (counts.unknown) [kind, text] = ["unknown", "?" + counts.unknown];
    else if (counts.passed) [kind, text] = ["passed", String(counts.passed)];
    else [kind, text] = counts.skipped ? ["skipped", "–"] : ["none", ""];
    const told = data.cell.filter((k) => counts[k]).map((k) => counts[k] + " " + k).join(", ");
    const cell = make("td", {class: "c " + kind});
    if (text) {
      cell.append(make("button", {
        type: "button", title: group + ": " + told, "aria-label": group + ": " + told,
        onclick: () => toggle(cell.parentElement, row, group),
      }, text));
    }
    return cell;
  }

  function rowOf(row) {
    const verdicts = Object.entries(row.verdicts)
      .map(([verdict, count]) => (row.jobs.length > 1 ? count + " " : "") + verdict).join(", ");
    const element = make("tr", {class: "row"});
    element.append(
      make("td", {class: "name"}, make("button", {
        type: "button", class: "mono", onclick: () => toggle(element, row, ""),
      }, row.name)),
      make("td", {class: row.bad ? "MUST" : "passed"}, verdicts),
      ...data.groups.map((_, index) => cellOf(row, index)),
      make("td", {class: "num"}, row.operations.toLocaleString("en")),
      make("td", {class: "num"}, row.seconds.toFixed(1) + " s"));
    return element;
  }

  function toggle(element, row, group) {
    const open = element.nextElementSibling;
    if (open && open.classList.contains("detail")) {
      open.remove();
      if (open.dataset.group === group) return;
    }
    const columns = data.groups.length + 4;
    const detail = make("tr", {class: "detail", "data-group": group},
                        make("td", {colspan: columns}, detailOf(row, group)));
    element.after(detail);
  }

  function detailOf(row, group) {
    const box = make("div", {class: "inner"});
    box.append(make("h3", {}, row.name + (group ? ": " + group : "")));
    const fitting = row.findings.map((f) => data.findings[f])
      .filter((f) => !group || groupOf(f.rule) === group);
    fitting.forEach((f) => box.append(findingOf(f)));
    row.jobs.map((j) => data.jobs[j]).slice(0, 50).forEach((job) => box.append(jobOf(job, group)));
    if (row.jobs.length > 50) box.append(make("p", {}, `and ${row.jobs.length - 50} more seeds`));
    return box;
  }

  function jobOf(job, group) {
    const box = make("details", {class: "job"});
    if (!group && data.rows[job.row].jobs.length === 1) box.open = true;
    if (group || job.reason) box.open = true;
    box.append(make("summary", {}, `seed ${job.seed}: ${job.verdict}, ` +
      `${job.operations.toLocaleString("en")} operations, ${job.seconds} s` +
      (job.host ? ` on ${job.host}` : "") + (job.attempt > 1 ? `, attempt ${job.attempt}` : "")));
    if (job.reason) box.append(make("p", {class: "wrong"}, job.reason));
    (job.notes || []).forEach((note) => box.append(make("p", {class: "dim"}, note)));
    if (job.command.length) box.append(make("pre", {}, job.command.map(quoted).join(" ")));
    if (job.output) box.append(make("pre", {}, job.output));
    const checks = job.checks.filter((c) => !group || groupOf(data.checks[c[0]]) === group);
    if (checks.length) {
      const body = make("tbody", {});
      for (const [check, status, reason, ms, operations] of checks) {
        const name = data.statuses[status];
        const kind = {passed: "passed", skipped: "skipped", unknown: "unknown"}[name] || "MUST";
        body.append(make("tr", {}, make("td", {}, data.checks[check]),
          make("td", {class: kind}, name), make("td", {}, data.reasons[reason]),
          make("td", {class: "num"}, operations.toLocaleString("en")),
          make("td", {class: "num"}, (ms / 1000).toFixed(1) + " s")));
      }
      box.append(make("div", {class: "scroll"}, make("table", {class: "plain checks"},
        make("thead", {}, make("tr", {}, ...["check", "status", "reason", "operations", "time"]
          .map((h) => make("th", {}, h)))), body)));
    }
    return box;
  }
  const quoted = (word) => /^[\w@%+=:,./-]+$/.test(word) ? word
    : "'" + word.replaceAll("'", "'\\''") + "'";

  // ---- findings

  function findingOf(f) {
    const summary = make("summary", {}, tag(f.severity), " ", make("code", {}, f.rule), " ",
      f.title || "", " ", make("span", {class: "dim"}, `${data.rows[f.row].name}; ${f.rate}`));
    if (f.waived) summary.append(" ", tag("waived"));
    if (f.baseline) summary.append(" ", tag("odd", f.baseline));
    const box = make("details", {class: "finding"}, summary);
    box.addEventListener("toggle", () => {
      if (box.open && box.childElementCount === 1) box.append(bodyOf(f));
    });
    return box;
  }

  function textBlock(title, text, name) {
    if (!text) return null;
    const box = make("details", {class: "file"}, make("summary", {}, title));
    box.append(make("p", {class: "dim"}, name), make("pre", {}, text));
    return box;
  }

  // Details as nbdcheck prints them; in hex the bytes that are wrong begin with ">".
  function detailsOf(lines) {
    const pre = make("pre", {class: "evidence"});
    lines.forEach((line, index) => {
      if (index) pre.append("\n");
      const hex = /^(\s*actual\s+)(.*>.*)$/.exec(line);
      if (!hex) return pre.append(line);
      pre.append(hex[1]);
      for (const part of hex[2].split(/(>[0-9a-f]{2})/)) {
        pre.append(part.startsWith(">") ? make("span", {class: "wrong"}, part) : part);
      }
    });
    return pre;
  }

  function bodyOf(f) {
    const box = make("div", {});
    const add = (...elements) => elements.forEach((e) => e && box.append(e));
    if (f.message) add(make("p", {}, f.message));
    const facts = make("dl", {});
    const fact = (name, value) => value !== null && value !== undefined && value !== "" &&
      facts.append(make("dt", {}, name), make("dd", {}, value));
    fact("expected", f.expected);
    fact("actual", f.actual);
    add(facts);
    if (f.calls && f.calls.length) {
      const from = f.original_operations > f.calls.length
        ? `, shrunk from ${f.original_operations}` : "";
      add(make("h4", {}, `${f.calls.length} calls${from}`),
          make("ol", {class: "calls"}, ...f.calls.map((call) => make("li", {}, call))));
    }
    if (f.svg) {
      const holder = make("div", {class: "scroll"});
      holder.innerHTML = f.svg;
      add(make("h4", {}, "At the same time"), holder);
    }
    if (f.details.length) add(make("h4", {}, "Evidence"), detailsOf(f.details));
    const more = make("dl", {});
    const told = (name, value) => value && more.append(make("dt", {}, name), make("dd", {}, value));
    told("seen by", f.check + (f.occurrences > 1 ? ` (${f.occurrences} times in that run)` : ""));
    told("in", `${f.rate}; seeds ${f.seeds.slice(0, 30).join(", ")}` +
         (f.seeds.length > 30 ? ", ..." : ""));
    told("replay", f.replay && make("code", {}, f.replay));
    told("on nbdkit", f.on_nbdkit);
    if (f.waived)
      told("waived", f.waived.reason + (f.waived.until ? `, until ${f.waived.until}` : ""));
    add(more, textBlock("Plan, for nbdcheck replay", f.plan_text, f.plan),
        textBlock("Script for the real nbdkit", f.script_text, f.nbdsh));
    if (f.nbdsh && !f.script_text) add(make("p", {class: "dim"}, "script: " + f.nbdsh));
    const rule = data.rules[f.rule];
    if (rule && rule.html) {
      const text = make("div", {});
      text.innerHTML = rule.html;
      add(make("details", {class: "rule", open: ""},
        make("summary", {}, `The rule: ${rule.title}`),
        make("p", {class: "dim"}, `${rule.severity}, since nbdkit ${rule.since}; ${rule.source}`),
        text));
    }
    return box;
  }

  // ---- drawing

  function draw() {
    const want = chosen();
    const rows = data.rows.filter((row) => rowFits(row, want));
    document.querySelector(".matrix tbody").replaceChildren(
      ...rows.slice(0, shownRows).map(rowOf));
    $("matrix-count").textContent = `${rows.length} of ${data.rows.length} rows`;
    more($("matrix-more"), rows.length - shownRows, () => { shownRows += STEP; draw(); });
    const findings = data.findings.filter((f) => findingFits(f, want));
    document.querySelector("#findings .list").replaceChildren(
      ...findings.slice(0, shownFindings).map(findingOf));
    $("findings-count").textContent = `${findings.length} of ${data.findings.length}`;
    more($("findings-more"), findings.length - shownFindings,
         () => { shownFindings += STEP; draw(); });
  }

  function more(button, left, action) {
    button.hidden = left <= 0;
    button.textContent = `Show ${Math.min(left, STEP)} more (${left} are not shown)`;
    button.onclick = action;
  }

  const head = make("tr", {}, make("th", {class: "name"}, "plugin"), make("th", {}, "verdict"),
    ...data.groups.map((group) => make("th", {class: "g"}, group)),
    make("th", {}, "operations"), make("th", {}, "time"));
  document.querySelector(".matrix thead").append(head);
  data.groups.forEach((group) => $("group").append(make("option", {value: group}, group)));
  const filters = $("filters");
  for (const event of ["input", "change"]) {  // not every way to choose an option is an input
    filters.addEventListener(event, () => { shownRows = shownFindings = STEP; draw(); });
  }
  $("reset").addEventListener("click", () => {
    $("search").value = $("group").value = "";
    document.querySelectorAll("#filters input[type=checkbox]")
      .forEach((box) => { box.checked = box.id !== "bad"; });
    if ($("baseline")) $("baseline").value = "";
    draw();
  });
  draw();
})();
