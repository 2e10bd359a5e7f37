"""The runs of a study in MLflow."""


def runs_of(uri, experiment="harness"):
    """(parent, {variant: child}) after checking that there is no other run, but those of the history."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    runs = [run for run in runs if "harness.history" not in run.data.tags]
    parents = [run for run in runs if "harness.variant" not in run.data.tags]
    children = {run.data.tags["harness.variant"]: run for run in runs if "harness.variant" in run.data.tags}
    assert len(parents) == 1 and len(runs) == 1 + len(children)
    return client, parents[0], children
