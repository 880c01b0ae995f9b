# The recipes of this repository; `just` lists them.

_list:
    @just --list --unsorted

# Run what CI runs.
check:
    .ci/run

# Run the tests; no network is needed.
test:
    cargo test

# Measure the library's hot paths.
bench:
    cargo bench

# Hold qmill against libllama on real models; `just real --long` tries every mix, for hours.
real *args:
    tests/real/run.sh {{args}}
