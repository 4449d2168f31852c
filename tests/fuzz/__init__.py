"""Bad input of every kind, mixed with good tasks that must not notice: `PYTHONPATH=. python -m tests.fuzz --help`.

| module | what it holds |
|---|---|
| `mutate` | how one real record becomes a bad one: by Avro fields, by bytes, by its JSON |
| `samples` | real requests, commands and results to begin with |
| `noise` | the classes of bad records and their shares |
| `scene` | engine and intake lanes in memory, good tasks, victims, and the noise between them |
| `account` | where every record of requests and commands has gone, counted from the log alone |
| `histories` | the good tasks' records without offsets and times, to compare two runs |
| `on_kafka` | the same noise, as raw bytes, against a real broker and a real orchestrator |
| `worker` | damaged dispatches in front of a step worker |
"""
