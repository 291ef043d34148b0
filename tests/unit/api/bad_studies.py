"""Studies that are one change away from a good one, and what has to be said about each."""

from tests.unit.api.studies import GIT, GONE, Bad, Object

PARAMETERS = "spec.searchSpace.parameters"
NEW = f"{PARAMETERS}.2"
ARRIVAL = "spec.workload.arrival"
ENTRY = {"atMilliseconds": 0, "promptTokens": 1, "outputTokens": 1}
LIVE: Object = {"spec.measurement": "Prometheus", "spec.workload": {"arrival": {"pattern": "Live"}}}


def _parameter(name: str, parameter: Object, *says: str) -> Bad:
    return Bad(f"parameter-{name}", {NEW: parameter}, ("spec.searchSpace.parameters[2]", *says))


def _git(name: str, changes: Object, field: str, *says: str) -> Bad:
    git = {key: value for key, value in (GIT | changes).items() if value is not GONE}
    changed = {"spec.promotion.mode": "Git", "spec.promotion.git": git}
    return Bad(f"git-{name}", changed, (f"spec.promotion.git.{field}", *says))


BAD_STUDIES = (
    # The target
    Bad("no-target", {"spec.target": GONE}, ("spec.target",), ("is missing; add it",), ("Required value",)),
    Bad("target-unnamed", {"spec.target.name": GONE}, ("spec.target", "needs name and container; name the Deployment")),
    Bad("target-empty-name", {"spec.target.name": ""}, ("spec.target.name", "use lower-case letters, digits, - and .")),
    Bad(
        "target-name",
        {"spec.target.name": "Llama_8B"},
        ("spec.target.name", '"Llama_8B" cannot be the name of such'),
    ),
    Bad(
        "container-name",
        {"spec.target.container": "v.llm"},
        ("spec.target.container", '"v.llm"', "use lower-case letters"),
    ),
    Bad("container-newline", {"spec.target.container": "vllm\n"}, ("spec.target.container", "use lower-case letters")),
    Bad(
        "target-kind",
        {"spec.target.kind": "DaemonSet"},
        ("spec.target.kind", '"DaemonSet"', "Deployment", "StatefulSet", "LeaderWorkerSet", "Process"),
        ("is not known; use one of",),
        ("Unsupported value", "supported values"),
    ),
    Bad(
        "stateful-set-unnamed",
        {"spec.target": {"kind": "StatefulSet", "name": "llama-8b"}},
        ("spec.target", "target of kind StatefulSet needs name and container; name the StatefulSet"),
    ),
    Bad(
        "stateful-set-command",
        {"spec.target.kind": "StatefulSet", "spec.target.command": ["vllm", "serve"]},
        ("spec.target.command", "remove it, a StatefulSet brings its own"),
    ),
    Bad(
        "target-command",
        {"spec.target.command": ["vllm", "serve"]},
        ("spec.target.command", "is for kind Process; remove it"),
    ),
    Bad(
        "process-without-command",
        {"spec.target": {"kind": "Process"}},
        ("spec.target.command", "kind Process needs command, such as [vllm, serve, MODEL]"),
    ),
    Bad(
        "process-in-a-cluster",
        {"spec.target": {"kind": "Process", "command": ["vllm", "serve", "m"]}},
        (
            "spec.target.kind",
            "kind Process is for local files; give kind Deployment (or another)",
            "sloguard tune FILE",
        ),
        only="cluster",
    ),
    # SLOs
    Bad("no-slos", {"spec.slos": GONE}, ("spec.slos",), ("is missing; add it",), ("Required value",)),
    Bad(
        "empty-slos",
        {"spec.slos": []},
        ("spec.slos", "0"),
        ("the least is 1",),
        ("at least 1 items",),
    ),
    Bad(
        "many-slos",
        {"spec.slos": [{"metric": "TTFT", "percentile": each, "milliseconds": 9} for each in range(1, 10)]},
        ("spec.slos", "9", "8"),
        ("has 9 entries; the most is 8",),
        ("must have at most 8 items",),
    ),
    Bad(
        "slo-twice",
        {"spec.slos.1": {"metric": "TTFT", "percentile": 99, "milliseconds": 9}},
        ("spec.slos", "SLO TTFT p99 is given twice; give one limit"),
    ),
    Bad(
        "slo-twice-by-default",
        {"spec.slos.1": {"metric": "TTFT", "milliseconds": 9}},
        ("spec.slos", "SLO TTFT p99 is given twice; give one limit"),
    ),
    Bad(
        "slo-metric", {"spec.slos.0.metric": "TTFB"}, ("spec.slos[0].metric", '"TTFB"', "TTFT"), ("did you mean TTFT?",)
    ),
    Bad("slo-limit-zero", {"spec.slos.0.milliseconds": 0}, ("spec.slos[0].milliseconds", "0", "1")),
    Bad("slo-limit-negative", {"spec.slos.0.milliseconds": -5}, ("spec.slos[0].milliseconds", "-5", "1")),
    Bad("slo-percentile", {"spec.slos.0.percentile": 101}, ("spec.slos[0].percentile", "101", "100")),
    Bad("slo-fraction", {"spec.slos.0.percentile": 99.9}, ("spec.slos[0].percentile",), ("99.9", "not a whole number")),
    Bad("objective", {"spec.objective": "Speed"}, ("spec.objective", '"Speed"', "Goodput")),
    # The workload
    Bad("no-workload", {"spec.workload": GONE}, ("spec.workload",), ("is missing; add it",), ("Required value",)),
    Bad(
        "no-rate",
        {f"{ARRIVAL}.requestsPerMinute": GONE},
        (f"{ARRIVAL}.requestsPerMinute", "Poisson", "set it to the rate"),
    ),
    Bad("rate-zero", {f"{ARRIVAL}.requestsPerMinute": 0}, (f"{ARRIVAL}.requestsPerMinute", "0", "1")),
    Bad(
        "rate-text",
        {f"{ARRIVAL}.requestsPerMinute": "600"},
        (f"{ARRIVAL}.requestsPerMinute",),
        ('"600"', "without quotes"),
    ),
    Bad("pattern", {f"{ARRIVAL}.pattern": "poisson"}, (f"{ARRIVAL}.pattern", '"poisson"', "Poisson")),
    Bad("no-trace", {ARRIVAL: {"pattern": "Trace"}}, (f"{ARRIVAL}.trace", "at least one entry in trace; add entries")),
    Bad(
        "empty-trace",
        {ARRIVAL: {"pattern": "Trace", "trace": []}},
        (f"{ARRIVAL}.trace", "at least one entry in trace; add entries or choose another pattern"),
    ),
    Bad(
        "unused-trace",
        {f"{ARRIVAL}.trace": [ENTRY]},
        (ARRIVAL, "trace is given but pattern is Poisson; set pattern to Trace or remove it"),
    ),
    Bad(
        "unused-replay",
        {f"{ARRIVAL}.replay": {"timePercent": 50}},
        (ARRIVAL, "replay is given but pattern is Poisson; set pattern to Trace or remove it"),
    ),
    Bad(
        "two-traces",
        {ARRIVAL: {"pattern": "Trace", "traceFile": "a.csv", "trace": [ENTRY]}},
        (f"{ARRIVAL}.traceFile", "trace and traceFile are both given; keep one"),
    ),
    Bad(
        "trace-file-in-a-cluster",
        {ARRIVAL: {"pattern": "Trace", "traceFile": "a.csv"}},
        (f"{ARRIVAL}.traceFile", "traceFile is for local files; a cluster cannot read it", "1000 entries in trace"),
        only="cluster",
    ),
    Bad(
        "rate-of-a-trace",
        {ARRIVAL: {"pattern": "Trace", "trace": [ENTRY], "requestsPerMinute": 60}},
        (f"{ARRIVAL}.requestsPerMinute", "has no effect with pattern Trace; remove it: a trace is scaled by replay"),
    ),
    Bad(
        "rate-of-a-closed-loop",
        {ARRIVAL: {"pattern": "ClosedLoop", "closedLoop": {"users": 3}, "requestsPerMinute": 60}},
        (f"{ARRIVAL}.requestsPerMinute", "has no effect with pattern ClosedLoop; remove it"),
    ),
    Bad(
        "shared-queue",
        {"spec.slos": [{"metric": "QueueTime", "milliseconds": 300}], "spec.workload.generators": 2},
        ("spec.workload.generators", "2", "set workload.generators to 1 or remove the SLO"),
    ),
    Bad(
        "shared-loop",
        {ARRIVAL: {"pattern": "ClosedLoop", "closedLoop": {"users": 3}}, "spec.workload.generators": 2},
        ("spec.workload.generators", "2", "set generators to 1"),
    ),
    Bad(
        "production-minutes-unused",
        {ARRIVAL: {"pattern": "Poisson", "requestsPerMinute": 60, "productionMinutes": 5}},
        (
            f"{ARRIVAL}.productionMinutes",
            "no effect with pattern Poisson; remove it, or set pattern to FromProduction",
        ),
    ),
    Bad(
        "production-has-its-own-rate",
        {ARRIVAL: {"pattern": "FromProduction", "requestsPerMinute": 60}},
        (f"{ARRIVAL}.requestsPerMinute", "has no effect with pattern FromProduction; remove it"),
    ),
    Bad("no-users", {ARRIVAL: {"pattern": "ClosedLoop"}}, (f"{ARRIVAL}.closedLoop", "add closedLoop.users")),
    Bad(
        "unused-users",
        {f"{ARRIVAL}.closedLoop": {"users": 3}},
        (f"{ARRIVAL}.closedLoop", "pattern is Poisson; set pattern to ClosedLoop or remove closedLoop"),
    ),
    Bad(
        "nobody",
        {ARRIVAL: {"pattern": "ClosedLoop", "closedLoop": {"users": 0}}},
        (f"{ARRIVAL}.closedLoop.users", "0", "1"),
    ),
    Bad(
        "capacity-of-a-closed-loop",
        {"spec.objective": "Capacity", ARRIVAL: {"pattern": "ClosedLoop", "closedLoop": {"users": 3}}},
        ("spec.objective", "objective Capacity is a rate, and pattern ClosedLoop offers none; choose another"),
    ),
    # Live traffic
    Bad(
        "watched-load",
        {"spec.measurement": "Prometheus"},
        ("spec.measurement", "arrival.pattern Poisson would send requests; set the pattern to Live"),
    ),
    Bad(
        "unwatched-traffic",
        {"spec.workload": {"arrival": {"pattern": "Live"}}},
        ("spec.measurement", "Live sends nothing", "set measurement to Prometheus, or choose another pattern"),
    ),
    Bad(
        "measurement-of-another-kind",
        LIVE | {"spec.measurement": "Grafana"},
        ("spec.measurement", '"Grafana"', "LoadGenerator", "Prometheus"),
    ),
    Bad(
        "live-rate",
        LIVE | {f"{ARRIVAL}.requestsPerMinute": 60},
        (f"{ARRIVAL}.requestsPerMinute", "has no effect with pattern Live; remove it"),
    ),
    Bad(
        "live-sweep",
        LIVE | {"spec.workload.sweepPercent": [50, 100]},
        ("spec.workload.sweepPercent", "[50, 100]", "has no effect with pattern Live, whose rate nobody sets"),
    ),
    Bad(
        "live-lengths",
        LIVE | {"spec.workload.outputTokens": {"mean": 128}},
        ("spec.workload", "outputTokens has no effect with pattern Live, whose requests are others'; remove it"),
    ),
    Bad(
        "live-prefix",
        LIVE | {"spec.workload.sharedPrefix": {"tokens": 5, "percent": 5}},
        ("spec.workload", "sharedPrefix has no effect with pattern Live"),
    ),
    Bad(
        "live-prompts",
        LIVE | {"spec.workload.prompts": {"format": "Chat"}},
        ("spec.workload", "prompts.format has no effect with pattern Live"),
    ),
    Bad(
        "live-generators",
        LIVE | {"spec.workload.generators": 2},
        ("spec.workload.generators", "2", "nothing to send with pattern Live; set generators to 1"),
    ),
    Bad(
        "live-capacity",
        LIVE | {"spec.objective": "Capacity"},
        ("spec.objective", "objective Capacity is a rate, and pattern Live offers none; choose another"),
    ),
    Bad(
        "live-trials-at-once",
        LIVE | {"spec.trial.parallelism": 2},
        ("spec.trial.parallelism", "is 2", "live traffic goes to one trial at a time; set it to 1"),
    ),
    Bad(
        "live-process",
        LIVE | {"spec.target": {"kind": "Process", "command": ["vllm", "serve", "m"]}},
        ("spec.measurement", "target.kind is Process; set target.kind to Deployment, or remove", "sloguard measure"),
    ),
    Bad(
        "prefix-of-no-group",
        {ARRIVAL: {"pattern": "Trace", "trace": [ENTRY | {"prefixTokens": 7}]}},
        (f"{ARRIVAL}.trace[0].prefixTokens", "prefixTokens 7 are shared with nobody; add prefixGroup"),
    ),
    Bad(
        "replay-after-the-end",
        {ARRIVAL: {"pattern": "Trace", "trace": [ENTRY], "replay": {"fromSeconds": 1}}},
        (f"{ARRIVAL}.trace", "durationSeconds 120", "or replay.fromSeconds where it has entries"),
    ),
    Bad(
        "replay-too-slow",
        {
            ARRIVAL: {
                "pattern": "Trace",
                "trace": [ENTRY | {"atMilliseconds": 60_000}],
                "replay": {"timePercent": 200},
            }
        },
        (f"{ARRIVAL}.trace", "durationSeconds 120", "measure longer"),
    ),
    Bad(
        "no-lengths",
        {"spec.workload.outputTokens": GONE},
        ("spec.workload", "promptTokens and outputTokens are needed; only a trace has lengths of its own. Add them"),
    ),
    Bad(
        "late-trace",
        {ARRIVAL: {"pattern": "Trace", "trace": [{"atMilliseconds": 120_000, "promptTokens": 1, "outputTokens": 1}]}},
        (f"{ARRIVAL}.trace", "durationSeconds 120", "measure longer"),
    ),
    Bad(
        "huge-trace",
        {ARRIVAL: {"pattern": "Trace", "trace": [ENTRY] * 1001}},
        (f"{ARRIVAL}.trace", "1001", "1000"),
    ),
    Bad("no-burst", {f"{ARRIVAL}.pattern": "Burst"}, (f"{ARRIVAL}.burst", "add burst.requestsPerMinute")),
    Bad(
        "unused-burst",
        {f"{ARRIVAL}.burst": {"requestsPerMinute": 900}},
        (f"{ARRIVAL}.burst", "pattern is Poisson; set pattern to Burst or remove burst"),
    ),
    Bad(
        "weak-burst",
        {ARRIVAL: {"pattern": "Burst", "requestsPerMinute": 600, "burst": {"requestsPerMinute": 60}}},
        (f"{ARRIVAL}.burst.requestsPerMinute", "60", "600", "raise it or lower the latter"),
    ),
    Bad(
        "long-burst",
        {
            ARRIVAL: {
                "pattern": "Burst",
                "requestsPerMinute": 60,
                "burst": {"requestsPerMinute": 600, "periodSeconds": 121},
            }
        },
        ("burst.periodSeconds 121", "durationSeconds 120", "shorten it or measure longer"),
    ),
    Bad(
        "prompt-format",
        {"spec.workload.prompts": {"format": "Words"}},
        ("spec.workload.prompts.format", '"Words"', "TokenIds"),
    ),
    Bad(
        "unused-tokenizer",
        {"spec.workload.prompts": {"tokenizerFile": "tokenizer.json"}},
        ("spec.workload.prompts.tokenizerFile", "has no effect with format TokenIds; remove it, or set format to Text"),
    ),
    Bad(
        "tokenizer-in-a-cluster",
        {"spec.workload.prompts": {"format": "Chat", "tokenizerFile": "tokenizer.json"}},
        ("spec.workload.prompts.tokenizerFile", "tokenizerFile is for local files; a cluster cannot read it"),
        only="cluster",
    ),
    Bad(
        "no-burstiness",
        {f"{ARRIVAL}.pattern": "Gamma"},
        (f"{ARRIVAL}.burstinessPercent", "pattern Gamma needs burstinessPercent; 100 is as Poisson"),
    ),
    Bad(
        "unused-burstiness",
        {f"{ARRIVAL}.burstinessPercent": 50},
        (f"{ARRIVAL}.burstinessPercent", "pattern is Poisson; set pattern to Gamma or remove burstinessPercent"),
    ),
    Bad(
        "burstiness-zero",
        {f"{ARRIVAL}.pattern": "Gamma", f"{ARRIVAL}.burstinessPercent": 0},
        (f"{ARRIVAL}.burstinessPercent", "0", "1"),
    ),
    Bad(
        "sweep-without-100", {"spec.workload.sweepPercent": [50, 150]}, ("sweepPercent [50, 150] lacks 100", "add 100")
    ),
    Bad(
        "capacity-without-curve",
        {"spec.objective": "Capacity", "spec.workload.sweepPercent": [50, 100]},
        ("objective Capacity", "sweepPercent [50, 100]", "give 3 rates or more"),
    ),
    Bad(
        "sweep-twice",
        {"spec.workload.sweepPercent": [100, 50, 50]},
        ("sweepPercent [100, 50, 50]", "name each rate once"),
    ),
    Bad("sweep-empty", {"spec.workload.sweepPercent": []}, ("spec.workload.sweepPercent", "0")),
    Bad("sweep-long", {"spec.workload.sweepPercent": list(range(100, 109))}, ("spec.workload.sweepPercent", "9", "8")),
    Bad("sweep-rate", {"spec.workload.sweepPercent": [100, 0]}, ("spec.workload.sweepPercent[1]", "0", "1")),
    Bad(
        "lengths-out-of-order",
        {"spec.workload.promptTokens": {"mean": 9, "min": 16, "max": 4096}, "spec.workload.sharedPrefix": GONE},
        ("spec.workload.promptTokens", "min 16, mean 9, max 4096", "make them min <= mean <= max"),
    ),
    Bad(
        "no-mean",
        {"spec.workload.outputTokens": {"max": 9}},
        ("spec.workload.outputTokens.mean", "distribution Normal needs mean; add it, or choose Uniform or Empirical"),
    ),
    Bad(
        "no-mean-of-logarithms",
        {"spec.workload.outputTokens": {"distribution": "LogNormal", "max": 9}},
        ("spec.workload.outputTokens.mean", "distribution LogNormal needs mean; add it"),
    ),
    Bad(
        "distribution",
        {"spec.workload.outputTokens.distribution": "Lognormal"},
        ("spec.workload.outputTokens.distribution", '"Lognormal"', "LogNormal"),
    ),
    Bad(
        "mean-of-uniform",
        {"spec.workload.outputTokens": {"distribution": "Uniform", "mean": 5, "max": 9}},
        ("spec.workload.outputTokens", "mean and stddev have no effect with distribution Uniform; remove them"),
    ),
    Bad(
        "stddev-of-buckets",
        {"spec.workload.outputTokens": {"distribution": "Empirical", "stddev": 5, "buckets": [{"min": 1}]}},
        ("spec.workload.outputTokens", "mean and stddev have no effect with distribution Empirical; remove them"),
    ),
    Bad(
        "uniform-without-end",
        {"spec.workload.outputTokens": {"distribution": "Uniform", "min": 5}},
        ("spec.workload.outputTokens.max", "takes every count from min to max; add max"),
    ),
    Bad(
        "uniform-out-of-order",
        {"spec.workload.outputTokens": {"distribution": "Uniform", "min": 5, "max": 3}},
        ("spec.workload.outputTokens.min", "min 5 is above max 3; swap them"),
    ),
    Bad(
        "no-buckets",
        {"spec.workload.outputTokens": {"distribution": "Empirical"}},
        ("spec.workload.outputTokens.buckets", "needs buckets, such as {min: 100, max: 199, weight: 3}; add them"),
    ),
    Bad(
        "unused-buckets",
        {"spec.workload.outputTokens.buckets": [{"min": 1}]},
        ("spec.workload.outputTokens.buckets", "distribution is Normal; set distribution to Empirical or remove"),
    ),
    Bad(
        "bucket-out-of-order",
        {"spec.workload.outputTokens": {"distribution": "Empirical", "buckets": [{"min": 1}, {"min": 5, "max": 3}]}},
        ("spec.workload.outputTokens.buckets[1].min", "min 5 is above max 3; swap them"),
    ),
    Bad(
        "bucket-without-weight",
        {"spec.workload.outputTokens": {"distribution": "Empirical", "buckets": [{"min": 1, "weight": 0}]}},
        ("spec.workload.outputTokens.buckets[0].weight", "0", "1"),
    ),
    Bad(
        "many-buckets",
        {"spec.workload.outputTokens": {"distribution": "Empirical", "buckets": [{"min": 1}] * 65}},
        ("spec.workload.outputTokens.buckets", "65", "64"),
    ),
    Bad(
        "long-prefix",
        {"spec.workload.sharedPrefix.tokens": 5000},
        ("spec.workload.sharedPrefix.tokens", "5000", "promptTokens.max 4096", "shorten the prefix"),
    ),
    Bad(
        "prefix-percent",
        {"spec.workload.sharedPrefix.percent": 101},
        ("spec.workload.sharedPrefix.percent", "101", "100"),
    ),
    Bad("negative-warm-up", {"spec.workload.warmupSeconds": -1}, ("spec.workload.warmupSeconds", "-1", "0")),
    Bad("long-load", {"spec.workload.durationSeconds": 3601}, ("spec.workload.durationSeconds", "3601", "3600")),
    # The search space
    _parameter(
        "unknown", {"name": "max_num_seq", "int": {"min": 1, "max": 2}}, ".name", '"max_num_seq"', "max_num_seqs"
    ),
    _parameter(
        "out-of-order",
        {"name": "block_size", "int": {"min": 9, "max": 4}},
        ".int.min",
        "min 9 is above max 4; swap them or widen the range",
    ),
    _parameter("zero", {"name": "block_size", "int": {"min": 0, "max": 4}}, ".int.min", "0", "1"),
    _parameter(
        "huge", {"name": "block_size", "int": {"min": 1, "max": 10_000_001}}, ".int.max", "10000001", "10000000"
    ),
    _parameter(
        "no-domain", {"name": "block_size"}, "block_size has 0 domains; give exactly one of int, decimal, choice"
    ),
    _parameter(
        "two-domains",
        {"name": "block_size", "int": {"min": 1, "max": 4}, "choice": {"values": ["16"]}},
        "block_size has 2 domains; give exactly one of int, decimal, choice",
    ),
    _parameter(
        "twice",
        {"name": "max_num_seqs", "int": {"min": 1, "max": 2}},
        "parameter max_num_seqs is given twice; name each once",
    )._replace(says=("spec.searchSpace.parameters", "parameter max_num_seqs is given twice; name each once")),
    _parameter(
        "decimal-for-a-whole-number",
        {"name": "block_size", "decimal": {"min": "0.5", "max": "0.9"}},
        "block_size takes whole numbers; give int with min and max",
    ),
    _parameter(
        "name-for-a-whole-number",
        {"name": "block_size", "choice": {"values": ["16", "auto"]}},
        "block_size takes whole numbers; give int with min and max",
    ),
    _parameter(
        "share-above-one",
        {"name": "gpu_memory_utilization", "decimal": {"min": "0.8", "max": "1.1"}},
        "gpu_memory_utilization takes decimal fractions above 0 and up to 1",
    ),
    _parameter(
        "share-zero",
        {"name": "gpu_memory_utilization", "choice": {"values": ["0.0", "0.9"]}},
        "gpu_memory_utilization takes decimal fractions above 0 and up to 1",
    ),
    _parameter(
        "share-out-of-order",
        {"name": "gpu_memory_utilization", "decimal": {"min": "0.95", "max": "0.8"}},
        ".decimal.min",
        "min 0.95 is above max 0.8; swap them",
    ),
    _parameter(
        "share-no-number",
        {"name": "gpu_memory_utilization", "decimal": {"min": "low", "max": "0.8"}},
        ".decimal.min",
        '"low" is not a decimal fraction; write text with at most four decimals, such as "0.95"',
    ),
    _parameter(
        "switch-with-numbers",
        {"name": "enforce_eager", "int": {"min": 1, "max": 2}},
        'enforce_eager is a switch; give choice with values ["true", "false"]',
    ),
    _parameter(
        "switch-with-words",
        {"name": "enforce_eager", "choice": {"values": ["on", "off"]}},
        'enforce_eager is a switch; give choice with values ["true", "false"]',
    ),
    _parameter(
        "names-with-numbers",
        {"name": "kv_cache_dtype", "int": {"min": 4, "max": 8}},
        "kv_cache_dtype takes no numbers; give choice with the values to try",
    ),
    _parameter(
        "value-twice",
        {"name": "kv_cache_dtype", "choice": {"values": ["auto", "fp8", "fp8"]}},
        ".choice.values",
        "value fp8 is given twice; name each once",
    ),
    _parameter(
        "value-is-a-flag",
        {"name": "kv_cache_dtype", "choice": {"values": ["auto", "--api-key=x"]}},
        ".choice.values[1]",
        '"--api-key=x" is not a value for a command line',
    ),
    _parameter("no-values", {"name": "kv_cache_dtype", "choice": {"values": []}}, ".choice.values"),
    _parameter(
        "many-values",
        {"name": "block_size", "choice": {"values": [str(each) for each in range(33)]}},
        ".choice.values",
        "33",
        "32",
    ),
    _parameter(
        "on-itself",
        {"name": "block_size", "int": {"min": 1, "max": 2}, "when": {"name": "block_size", "equals": "1"}},
        ".when.name",
        "block_size cannot depend on itself; name another parameter",
    ),
    Bad(
        "condition-on-what-is-not-tuned",
        {
            "spec.searchSpace.preset": "None",
            NEW: {
                "name": "block_size",
                "int": {"min": 1, "max": 2},
                "when": {"name": "enforce_eager", "equals": "true"},
            },
        },
        (
            "spec.searchSpace.parameters",
            "block_size depends on enforce_eager, which is not tuned here; add that parameter",
        ),
    ),
    Bad(
        "condition-on-what-depends",
        {
            f"{PARAMETERS}.0.when": {"name": "performance_mode", "equals": "balanced"},
            NEW: {"name": "block_size", "int": {"min": 1, "max": 2}, "when": {"name": "max_num_seqs", "equals": "4"}},
        },
        ("block_size depends on max_num_seqs, which depends on another itself; name a parameter without when",),
    ),
    Bad(
        "condition-never-met",
        {f"{PARAMETERS}.0.when": {"name": "performance_mode", "equals": "fast"}},
        ("max_num_seqs waits for performance_mode to be fast", "add the value or change when.equals"),
    ),
    Bad(
        "nothing-to-tune",
        {"spec.searchSpace": {"preset": "None"}},
        ("spec.searchSpace.preset", "preset None leaves nothing to tune; add parameters or choose preset Core"),
    ),
    Bad("preset", {"spec.searchSpace.preset": "All"}, ("spec.searchSpace.preset", '"All"', "Core", "Extended", "None")),
    # The rest
    Bad("optimizer", {"spec.optimizer.name": "TPE"}, ("spec.optimizer.name", '"TPE"', "tpe")),
    Bad("optimizer-seed", {"spec.optimizer.seed": -1}, ("spec.optimizer.seed", "-1", "0")),
    Bad("zero-budget", {"spec.budget.trials": 0}, ("spec.budget.trials", "0", "3")),
    Bad("huge-budget", {"spec.budget.trials": 501}, ("spec.budget.trials", "501", "500")),
    Bad(
        "small-budget",
        {"spec.budget.trials": 5},
        (
            "spec.budget.trials",
            "come first; set it to 8 or more",
        ),
    ),
    Bad(
        "small-budget-by-default",
        {"spec.budget.trials": 5, "spec.promotion": GONE},
        (
            "budget.trials 5 leaves no trial to search with",
            "come first; set it to 8 or more",
        ),
    ),
    Bad(
        "no-gpu-time", {"spec.budget.gpuMinutes": 6}, ("spec.budget.gpuMinutes", "6 is less than the 720 s", "raise it")
    ),
    Bad("no-time", {"spec.budget.wallClockMinutes": 2}, ("spec.budget.wallClockMinutes", "2 is less than the 440 s")),
    Bad("zero-gpu-time", {"spec.budget.gpuMinutes": 0}, ("spec.budget.gpuMinutes", "0", "1")),
    Bad("parallelism", {"spec.trial.parallelism": 0}, ("spec.trial.parallelism", "0", "1")),
    Bad("time-out", {"spec.trial.startupTimeoutSeconds": 7201}, ("spec.trial.startupTimeoutSeconds", "7201", "7200")),
    Bad("suspend-text", {"spec.suspend": "yes"}, ("spec.suspend",), ('"yes" is neither true nor false',), ("boolean",)),
    Bad("promotion-mode", {"spec.promotion.mode": "Auto"}, ("spec.promotion.mode", '"Auto"', "Automatic")),
    Bad(
        "approval-without-effect",
        {"spec.promotion.mode": "Off", "spec.promotion.approvedTrial": "llama-8b-4-1"},
        ("spec.promotion.approvedTrial", "llama-8b-4-1 has no effect in mode Off; set mode to Manual"),
    ),
    Bad(
        "approval-of-another-study",
        {"spec.promotion.approvedTrial": "qwen-4-1"},
        ("spec.promotion.approvedTrial", "qwen-4-1 is no trial of study llama-8b; name one of"),
    ),
    Bad(
        "git-without-settings",
        {"spec.promotion.mode": "Git"},
        ("spec.promotion.git", "mode Git needs git: repository, file and secretRef, and pullRequest or base"),
    ),
    Bad(
        "canary-by-git",
        {"spec.promotion.mode": "Git", "spec.promotion.git": GIT, "spec.promotion.strategy": "Canary"},
        ("spec.promotion.strategy", "which mode Git never does; set strategy to Rolling"),
    ),
    _git("repository-by-http", {"repository": "http://git.example.com/a/b.git"}, "repository", "no address of a"),
    _git("repository-with-password", {"repository": "https://me:pw@h/a.git"}, "repository", "keep passwords in"),
    _git("repository-without-path", {"repository": "https://git.example.com"}, "repository", "no address of a"),
    _git("branch", {"branch": "a b"}, "branch", '"a b" cannot be the name of a branch; use one such as main'),
    _git("base-unsaid", {"pullRequest": GONE}, "base", "set base to production's branch, such as main"),
    _git("request-of-the-base", {"base": "main", "branch": "main"}, "branch", "branch main is the base itself"),
    _git("file-outside", {"file": {"path": "../llama.yaml"}}, "file.path", "give it from the repository's top"),
    _git("file-absolute", {"file": {"path": "/llama.yaml"}}, "file.path", "give it from the repository's top"),
    _git("values-without-path", {"file": {"path": "v", "shape": "HelmValues"}}, "file.valuesPath", "shape HelmValues"),
    _git("path-without-values", {"file": {"path": "v", "valuesPath": "a"}}, "file.valuesPath", "shape Manifest"),
    _git("shape", {"file": {"path": "v", "shape": "Helm"}}, "file.shape", "HelmValues"),
    _git("forge", {"pullRequest": {"forge": "Bitbucket"}}, "pullRequest.forge", "GitHub"),
    _git("api", {"pullRequest": {"forge": "GitLab", "api": "http://g/api"}}, "pullRequest.api", "with https, so that"),
    _git("secret-name", {"secretRef": {"name": "Llama"}}, "secretRef.name", '"Llama" cannot be the name of a Secret'),
    _git("author", {"author": {"name": "A <b>"}}, "author.name", "leave out <, > and line ends"),
    Bad("long-name", {"metadata.name": "a" * 41}, ("a" * 41, "use at most 40 lower-case letters, digits and dashes")),
    Bad("name-begins-with-digit", {"metadata.name": "8b"}, ("metadata.name 8b", "a letter first")),
    Bad(
        "name-with-point",
        {"metadata.name": "llama.8b"},
        ("metadata.name llama.8b", "use at most 40 lower-case letters"),
    ),
    Bad("unknown-field", {"spec.sloes": []}, ("spec.sloes",), ("did you mean slos?",), ("unknown field",)),
    Bad(
        "unknown-deep-field",
        {f"{PARAMETERS}.0.int.step": 2},
        ("spec.searchSpace.parameters[0].int.step",),
        ("is not a known field; use one of min, max, scale",),
        ("unknown field",),
    ),
    Bad("wrong-shape", {"spec.slos": "TTFT"}, ("spec.slos",), ('"TTFT" is not a list',), ("array",)),
    Bad("spec-is-missing", {"spec": GONE}, ("spec",), ("is missing; add it",), ("Required value",)),
)
