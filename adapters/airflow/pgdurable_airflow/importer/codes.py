"""Every finding the Airflow importer can make; `pgdurable finding AF012` prints these texts."""

from typing import Final

from pgdurable_core.importing.findings import FindingCode, Weight


def _code(code: str, weight: Weight, title: str, text: str) -> FindingCode:
    return FindingCode(code, title, weight, " ".join(text.split()))


_ALL: Final = (
    # AF00x: the file could not be read
    _code(
        "AF001",
        "blocked",
        "the file does not load",
        """Airflow itself cannot load this file; the finding holds its
        last sentence and the line. Other files are not affected. Mend the file, or name an interpreter that has what it
        needs with --airflow-python.""",
    ),
    _code(
        "AF002",
        "blocked",
        "the file runs too long",
        """The file was still being executed when its time was up, and
        was killed with everything it had started. A DAG file is executed every few seconds by Airflow's own processor,
        which stops it too. Move work into tasks.""",
    ),
    _code("AF003", "blocked", "the file takes too much memory", """The file was stopped at the memory limit."""),
    _code(
        "AF004",
        "blocked",
        "the file ends the process",
        """The process that executed the file ended before it could
        answer: os._exit, a signal, or a crash in C code.""",
    ),
    _code(
        "AF005",
        "blocked",
        "no DAG in the file",
        """The file loads and defines no DAG. An @dag function must be
        called, and a DAG bound to a name or entered with `with`.""",
    ),
    _code(
        "AF006",
        "blocked",
        "a secret came out",
        """A sentinel that stands for a password, an extra or a secret
        Variable appears in what would be written. It was put into the DAG while the file was parsed, so a committed
        file would hold the secret. Nothing is written for this DAG. Read the secret inside a task.""",
    ),
    _code(
        "AF007",
        "blocked",
        "the same DAG id twice",
        """Two DAGs of what was read have the same id, in two files or in
        one, or ids that become the same name or the same file here: for one, ids that differ in case only, which many
        machines cannot tell apart as files. Airflow shows one of them, whichever its processor read last, and
        says nothing. Both stand in the report with all their tasks; nothing is written for either, since each would
        take the other's files and the other's place in the database. Give each an id of its own, or import the one file
        that is meant.""",
    ),
    _code(
        "AF009",
        "blocked",
        "a mistake of the importer",
        """The importer itself failed on this DAG. That is a mistake of
        ours; the finding holds its place. Nothing is written for the DAG, and the others are not affected.""",
    ),
    # AF01x: how the file was read
    _code(
        "AF010",
        "note",
        "module stubbed",
        """A module the file imports is not installed. Operator classes from it are
        known by name only; the graph still loads, and each task of such a class is blocked. Install the package, or
        name your Airflow's own interpreter with --airflow-python.""",
    ),
    _code(
        "AF011",
        "blocked",
        "incomplete graph",
        """Something from a module that is not installed was called, iterated,
        tested for truth, compared, written into a text, put into an edge or given to a task while the graph was built.
        What it would have added is unknown, so the graph cannot be trusted. Install the package, or use
        --airflow-python.""",
    ),
    _code(
        "AF012",
        "note",
        "name of Airflow 1 or 2",
        """The file uses a name that Airflow 3 no longer has. It was read
        as the name Airflow's upgrade guide gives for it. Airflow 3 itself would refuse the file.""",
    ),
    _code(
        "AF013",
        "decide",
        "fixed at import",
        """A value in the DAG came from a Variable, a Connection, the
        environment or the clock while the file was parsed. Airflow computes it anew at every parse; here it is fixed to
        what it was during the import. Found by reading the file twice with other values and comparing. Use a template
        or read it inside a task, or decide that it may be fixed.""",
    ),
    _code(
        "AF014",
        "note",
        "read while parsing",
        """The file reads a Variable, a Connection, the environment or the
        clock while it is parsed. Nothing that was imported depends on it.""",
    ),
    _code(
        "AF015",
        "decide",
        "placeholder for a missing value",
        """The file reads a Variable or Connection that was not
        given, without a default. A placeholder stands in its place. Give the values with --variables and
        --connections.""",
    ),
    _code(
        "AF016",
        "note",
        "file name made safe",
        """The DAG id holds characters that no workflow name or file name may
        have, or is too long for one; they were replaced, and it was cut after 240.""",
    ),
    # AF02x: arguments
    _code(
        "AF020",
        "decide",
        "argument not understood",
        """A constructor argument that no rule took. What it changes
        is not carried over. If it has no effect on the run, nothing is lost; otherwise say it in the SQL file by
        hand.""",
    ),
    _code(
        "AF021",
        "decide",
        "not supported by this version",
        """An option of Airflow's that the workflow document has
        no place for yet. The work itself runs; what the option adds (order, routing, mail, timing of retries) does
        not happen.""",
    ),
    _code(
        "AF022",
        "blocked",
        "would change the run",
        """An option of Airflow's that this version does not have and
        without which the run would do something else (which tasks run, or when they may): a task that waits for
        the run before it, a slot of a pool, a function around the task. Mend the DAG and import it again; until then
        the workflow is a draft.""",
    ),
    _code(
        "AF023",
        "decide",
        "callback not carried over",
        """Callbacks of single tasks, and any but one callback of the
        DAG, have no place in the workflow document. They would not be called. What one does can be a task of
        its own: one with trigger_rule one_failed runs after a failure. `pgdurable status` ends with 1 while
        anything is failed.""",
    ),
    _code(
        "AF024",
        "decide",
        "callback kept, not run",
        """The DAG's callback stands in the file as `on_failure` or
        `on_success`, so that it is not forgotten. This version keeps it and does not call it. Watch
        `pgdurable status`, which ends with 1 while anything is failed.""",
    ),
    _code(
        "AF025",
        "decide",
        "does not start by itself",
        """The schedule is an asset, a custom timetable or another kind
        that has no cron expression, preset or duration. The workflow is written without a schedule; start its
        runs with `pgdurable start`, as those of every workflow in this version.""",
    ),
    _code(
        "AF026",
        "decide",
        "time zone is no IANA name",
        """The DAG's time zone is a fixed offset; the workflow is written with
        UTC. Cron fields are wall-clock times: decide which zone is meant. This version stores the schedule and does not
        run it.""",
    ),
    _code(
        "AF027",
        "note",
        "no limit on active tasks",
        """Airflow limits tasks of a DAG that run at once
        (max_active_tasks_per_dag, 16) without being asked. Here the sessions of the workers are the
        only limit: `pgdurable worker --sql N --python M`.""",
    ),
    _code(
        "AF028",
        "note",
        "limit kept, not enforced",
        """The DAG states max_active_runs or max_active_tasks. The
        workflow keeps the number. This version runs no schedules and enforces neither: two runs that are started
        by hand run at once, and all their steps that are ready with them. Start one run after the other with
        `pgdurable start NAME --wait`, and limit steps by the sessions of the worker.""",
    ),
    # AF03x: read by syntax alone
    _code(
        "AF030",
        "blocked",
        "the graph is not wholly known",
        """Static reading runs no code. The tasks or edges of this DAG depend on something that only running the file
        decides: a condition, a loop over something read or computed, a call of a library that may add tasks. What was
        found stands in the draft. Read the file live with --airflow-python, or write it with literals.""",
    ),
    _code(
        "AF031",
        "blocked",
        "the task is not certain",
        """Static reading saw the task's call, and is not certain of its id, its class or whether it is made at all.
        Read the file live with --airflow-python.""",
    ),
    _code(
        "AF032",
        "blocked",
        "an argument is not known",
        """Static reading does not know the value of one of the task's arguments: it is read, computed or imported from
        a place that is not read. It is never guessed. Read the file live with --airflow-python.""",
    ),
    _code(
        "AF033",
        "decide",
        "an option of the DAG is not known",
        """Static reading does not know an option of the DAG: its schedule, a date, a limit, a param. The workflow is
        written without it. Read the file live with --airflow-python, or write it into the SQL file by hand.""",
    ),
    _code(
        "AF034",
        "decide",
        "a name the callable uses is not known",
        """The callable uses a value of its module that a library makes. Static reading cannot tell whether it is an
        object that needs Airflow, such as a hook. Read the file live, or look at it.""",
    ),
    _code(
        "AF035",
        "note",
        "an operator that is not reached",
        """An operator is called in a function that nothing in the file calls, or under a condition that is false. No
        task is made of it, here as in Airflow; it is named so that every operator of the file is accounted for.""",
    ),
    # AF11x: SQL
    _code(
        "AF110",
        "blocked",
        "several commits in one task",
        """The task commits several times: a list with autocommit,
        or COMMIT in the middle. A failure in the middle keeps what was committed in Airflow. A step is one transaction,
        which would roll it back. Make several tasks of it.""",
    ),
    _code(
        "AF111",
        "changed",
        "outside a transaction",
        """With autocommit a procedure may commit inside, and VACUUM and its
        like run at all. The step
        is of class `autonomous`: a worker runs it outside any transaction, at least once.""",
    ),
    _code(
        "AF112",
        "blocked",
        "SQL is not known",
        """The SQL text is not known before the run: a template of a whole
        statement, a value of a type nobody can read, or the result of another task.""",
    ),
    _code(
        "AF113",
        "changed",
        "SET ROLE became run_as",
        """A leading SET ROLE was taken out; the step runs as that
        role.""",
    ),
    _code(
        "AF114",
        "changed",
        "BEGIN/COMMIT taken out",
        """BEGIN at the start and COMMIT at the end were taken out: a
        step is one transaction already, together with its checkpoint, and cannot begin another.""",
    ),
    _code(
        "AF115",
        "blocked",
        "transaction control inside",
        """BEGIN, COMMIT or ROLLBACK stand inside the text, not as
        one pair around all of it. A step is one transaction.""",
    ),
    _code(
        "AF116",
        "changed",
        "parameters put in as literals",
        """Values of `parameters` stand in the text as SQL
        literals, as psycopg2 puts them in; %% became %.""",
    ),
    _code(
        "AF117",
        "blocked",
        "parameters do not fit the text",
        """Placeholders and parameters do not match, or a
        parameter has a type without a literal. psycopg would refuse it, or it is not known how it would write it.""",
    ),
    _code(
        "AF118",
        "decide",
        "handler changes the result",
        """A handler or output_processor of the task makes another
        result of the rows, and another task uses the result. Here the result is the rows.""",
    ),
    _code(
        "AF119",
        "blocked",
        "template file not found",
        """The text names a template file that is not on the search
        path. Airflow loads the DAG all the same and fails at run time with TemplateNotFound.""",
    ),
    _code(
        "AF120",
        "decide",
        "result of a list of statements",
        """Airflow hands on one list of rows for each statement
        of a list, and another task uses that result. Here the result is the rows of the last statement.""",
    ),
    _code(
        "AF121",
        "decide",
        "no connection named",
        """The task names no connection. Airflow fails at run time; here
        the step runs in the workflow's own database.""",
    ),
    _code(
        "AF122",
        "decide",
        "hook options",
        """hook_params or database change how the connection is opened. They are
        not carried over. What sets the session up can be a setting of the role (ALTER ROLE … SET); another server or
        database is refused by this version.""",
    ),
    # AF13x: Python
    _code(
        "AF130",
        "blocked",
        "needs Airflow to run",
        """The callable uses Variables, Connections, hooks or the task context beyond what a step has. It runs only
        where Airflow's task SDK is served (home `operator`), which this version does not do. Pass what it needs as
        arguments, or use SQL for the part that reads.""",
    ),
    _code(
        "AF131",
        "decide",
        "numbers reach Python otherwise",
        """Airflow stores results as JSON with numeric columns as
        floats: 186375.0. Here they arrive as exact decimals: 186375.00. Arithmetic agrees; text made of them differs.
        Also, what leaves the house by HTTP leaves at least once, in Airflow as here: use the idempotency key if the
        other side takes one.""",
    ),
    _code(
        "AF132",
        "changed",
        "result travels as JSON",
        """A Python result reaches another task as JSON: tuples and sets
        arrive as lists, dates as text. What JSON cannot hold fails the step that returned it, loudly.""",
    ),
    _code(
        "AF133",
        "blocked",
        "callable cannot be named",
        """A worker finds a callable by `module:name`. This one is a
        lambda, is nested in a function, is bound to an object, or its file name is no module name, and it cannot be
        copied out because it uses names from around it. Move it to the top level of a module.""",
    ),
    _code(
        "AF134",
        "changed",
        "callable copied out",
        """The callable is nested in a function, so no `module:name` finds
        it. It uses nothing from around it but imports, and was copied to tasks/<dag>.py, as text.""",
    ),
    _code(
        "AF135",
        "blocked",
        "argument cannot be stored",
        """An argument of the callable has no JSON form (an object, a
        function, a set key), or is an XCom reference of a kind this version does not have.""",
    ),
    _code(
        "AF136", "changed", "tuple becomes a list", """A tuple among the arguments reaches the callable as a list."""
    ),
    _code(
        "AF137",
        "blocked",
        "another key of an XCom",
        """The task uses an XCom key other than return_value. Steps have
        one result.""",
    ),
    _code(
        "AF138",
        "changed",
        "params as they are declared",
        """`params` reaches the callable as an object of the
        declared parameters.""",
    ),
    _code(
        "AF139",
        "decide",
        "rows reach Python one by one",
        """The task is mapped over the rows of a SQL task. Airflow
        hands each row as a list; here the item is an object of its columns.""",
    ),
    _code(
        "AF140",
        "changed",
        "context read by name",
        """The callable takes the task context as `**kwargs` and
        looks up in it only names that a step has as well (ds, ts, run_id, params and the like), or arguments of its
        own. It gets those and nothing else.""",
    ),
    # AF15x: templates
    _code(
        "AF150",
        "blocked",
        "template not understood",
        """A Jinja expression that this version cannot turn into a bind
        expression. It is never guessed.""",
    ),
    _code(
        "AF151",
        "blocked",
        "template with statements",
        """A Jinja template with if, for, set or macro: the text is
        computed at run time, which this version does not do.""",
    ),
    _code(
        "AF152",
        "decide",
        "result of a task in SQL text",
        """xcom_pull of one scalar became `$step.col`, a value
        quoted by its type. Airflow prints Python's text of it without quotes: 1.5 for 1.50, None for NULL.""",
    ),
    _code(
        "AF153",
        "decide",
        "user-given text in SQL",
        """A parameter stands in the SQL as raw text, as in Airflow:
        whoever starts the run writes SQL. `$params.x` would quote it.""",
    ),
    _code(
        "AF154",
        "blocked",
        "rendered as native objects",
        """The DAG renders templates to Python objects
        (render_template_as_native_obj); what a template gives then depends on the text at run time.""",
    ),
    _code(
        "AF155",
        "blocked",
        "computed name in a worker's step",
        """A command or an argument holds a template that has to be
        computed (params, macros, a date in another format), or text that looks like one of our names. The engine of
        this version evaluates bind expressions for SQL steps alone; for Python and shell it puts in the context's own
        names: ds, ts, run_id and the like.""",
    ),
    # AF16x: mapping, branches, bash
    _code(
        "AF160",
        "changed",
        "branch lifted to SQL",
        """The branch function looks at params alone and each has a closed
        set of values. It was turned into a CASE expression, and both gave the same answer for every combination of
        values: the original function was run for each.""",
    ),
    _code(
        "AF161",
        "changed",
        "row read as columns",
        """A row is used as it is, or a lambda only picks its columns by number; the
        upstream SQL names those columns, so the value is `$item.column`.""",
    ),
    _code(
        "AF162",
        "blocked",
        "mapping not understood",
        """The task is expanded over something this version cannot map
        over: literals, several arguments, expand_kwargs, a function that does more than pick columns, a mapped task
        group.""",
    ),
    _code(
        "AF163",
        "changed",
        "constant command read",
        """The @task.bash function only returns a constant; it is the
        command.""",
    ),
    _code(
        "AF164",
        "blocked",
        "branch in Python",
        """A branch stays in Python: the function does more than look at params
        with a closed set of values. The workflow document has branches in SQL alone. Give the params an enum, or branch
        in SQL.""",
    ),
    _code(
        "AF165",
        "changed",
        "shell of the worker",
        """The command runs in the shell of the worker's machine, in a fresh
        folder, with the worker's environment. AIRFLOW_CTX_* variables are not set.""",
    ),
    _code(
        "AF166",
        "blocked",
        "command made by Python",
        """@task.bash returns a command computed by Python at run
        time.""",
    ),
    # AF2xx: mistakes of the DAG's own
    _code(
        "AF201",
        "mend",
        "dead default_args key",
        """No operator of the DAG takes this key of default_args, and Airflow
        ignores it silently: most often a misspelling.""",
    ),
    _code(
        "AF202",
        "mend",
        "XCom from a task that is not upstream",
        """The template pulls the result of a task it does not
        wait for: a race, in Airflow as here.""",
    ),
    _code(
        "AF203",
        "mend",
        "only leaf all_done hides failures",
        """A run fails when a leaf fails. Every leaf of this DAG
        runs whatever happened before it, so a failed task in the middle ends as a successful run and no failure
        callback is called. Kept as it is. Add a watcher: a task behind all others with trigger_rule
        one_failed that fails.""",
    ),
    _code(
        "AF204",
        "mend",
        "branch to an unknown task",
        """The branch can return an id that is no task of this DAG.
        Airflow fails the task then.""",
    ),
    _code(
        "AF205",
        "mend",
        "refused inside a transaction",
        """PostgreSQL runs this statement only outside a transaction, and without autocommit Airflow opens one: the
        task fails today. Here the step is of class `autonomous` and runs.""",
    ),
    # AF3xx: no home in this version
    _code(
        "AF301",
        "blocked",
        "no rule for this operator",
        """No rule of this version knows the operator. Its home would
        be `operator`: a worker with Airflow as a library, which this version does not have. Replace it with SQL, Python
        or Bash, or keep this DAG in Airflow.""",
    ),
    _code(
        "AF302",
        "blocked",
        "subclass changes execution",
        """The class descends from one that has a rule, but overrides
        what decides its meaning, so it is not treated as its parent.""",
    ),
    _code(
        "AF303", "blocked", "operator is not installed", """The operator comes from a module that is not installed."""
    ),
    _code(
        "AF304",
        "changed",
        "subclass read through its constructor",
        """The class only adds a constructor; what it set
        on the parent is what was imported. Its own arguments are spent.""",
    ),
    _code(
        "AF305",
        "blocked",
        "setup and teardown",
        """Setup and teardown tasks reach beyond their neighbours: a
        teardown runs when the tasks between have finished, whatever became of them. This version does not have
        them.""",
    ),
    _code(
        "AF306",
        "blocked",
        "the graph is refused",
        """The imported graph breaks a rule of the workflow document; the
        finding says which.""",
    ),
)

CODES: Final[dict[str, FindingCode]] = {entry.code: entry for entry in _ALL}
