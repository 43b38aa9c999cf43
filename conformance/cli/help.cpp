#include "cli/options.hpp"

namespace nbdcheck {

std::string help_text() {
  return R"(Usage: nbdcheck [options] PLUGIN [key=value ...]
       nbdcheck list [--rules|--checks] [--format=text|json]
       nbdcheck explain RULE
       nbdcheck replay FILE.plan [--target=plugin|nbdkit] [--repeat=N] [options]
       nbdcheck judge HISTORY.jsonl [--consistency=regular|atomic]

Checks that an nbdkit plugin keeps its contract.  PLUGIN and its arguments are
those of nbdkit: a path, or a name as nbdkit would find it.  Disk images named
in the arguments are copied first, and only the copies are written to.

What to check:
  --profile=quick|standard|thorough
                       about 2 s, 20 s or 5 min on a small RAM plugin
                       (default: standard)
  --time=SECONDS|share spend about that long instead; share: as much on each
                       check as a run of all of them would
  --only=REGEX         only checks and rules whose id matches
  --skip=REGEX         not those
  --seed=N             the seed of all sequences (default: 1)

The plugin:
  -r, --readonly       as nbdkit -r
  --exportname=NAME    the export to open (default: the plugin's default)
  --persistence=auto|shared|per-connection
                       whether written data outlive the connection
                       (default: auto, found by a probe)
  --unstable-contents  contents change by themselves: do not judge data
  --backing=KEY        the argument KEY=FILE names data, which are copied; files
                       that look like data need not be named; repeatable
  --write-in-place     use the files named in the arguments themselves; their
                       contents are destroyed

How to run:
  --jobs=N             checks at the same time (default: one for each processor)
  --nbdkit=PATH|none   the real nbdkit to run beside (default: found in PATH)
  --timeout=SECONDS    without progress for that long a check hangs
  --valgrind           run the checks under valgrind's memcheck
  --in-process         one check in this process, for a debugger; needs --only

What comes out:
  --report=FORMAT:FILE write a report as well; FORMAT is json, or events: a line
                       of JSON for each event as it comes; repeatable
  --artifacts=DIR      where reproducers (*.plan, *.py) go
  --waivers=FILE       known findings, which do not decide the verdict (TOML)
  --fail-on=must|should|quality
                       the least severe finding to fail for (default: must)
  --color=auto|always|never
  --quiet              only findings and the last line
  --verbose            every check
  --target=plugin|nbdkit
                       replay: in process (the default) or in the real nbdkit
  --repeat=N           replay: run it N times
  --consistency=regular|atomic
                       what reads of concurrent requests may return; atomic
                       asks for more than nbdkit does (default: regular)
  --rules, --checks, --format=text|json
                       list: what, and how
  --version, --help

Exit codes: 0 conformant, 1 findings, 2 usage error, 3 nbdcheck failed,
4 nothing was checked.  A plugin called like a command: ./list, or -- list.

Examples:
  nbdcheck ./libmyplugin.so size=1G
  nbdcheck --profile=quick --report=json:report.json memory 64M
)";
}

}  // namespace nbdcheck
