from pumice.cli.main import run

run()
