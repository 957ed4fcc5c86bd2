"""What packages and pods agree on: the command of a task, and the environment that says where it runs."""

from __future__ import annotations

# Argo's executor and some container runtimes start a process with 0: all that it writes would be everybody's to change.
UMASK = 0o022

TASK_COMMAND = ("python", "-m", "finetune_kubeflow.task.run_nodes")
DECIDE_COMMAND = ("python", "-m", "finetune_kubeflow.task.decide")
REPORT_COMMAND = ("python", "-m", "finetune_kubeflow.task.report")
COMMANDS = (TASK_COMMAND, DECIDE_COMMAND, REPORT_COMMAND)
# The task that ends every run.
REPORT = "RunReport"
# What a decision not to train gives in place of `training.start_from`.
NOWHERE = "nowhere"
# The one config key with a list that a run may set: its parameter is a text, such as `3,7..9`.
SPANS, SPANS_SEPARATOR = "data.spans", ","

# Has `tf.keras` be Keras 2, which our own components want; a pipeline of others has what LocalDagRunner would have.
KERAS_ENV = "TF_USE_LEGACY_KERAS"
ROOT_ENV = "FINETUNE_ROOT"
RETRIES_ENV = "FINETUNE_RETRIES"  # `kubernetes...retries` of the task as JSON
POD_FIELDS = {
    "FINETUNE_POD_NAME": "metadata.name",
    "FINETUNE_POD_UID": "metadata.uid",
    "FINETUNE_POD_NAMESPACE": "metadata.namespace",
}
# On a Job: which file says what it trains.
INVOCATION_ANNOTATION = "finetune/invocation"
# What a worker ends with where another attempt cannot help, or nobody waits for it any more; the Job fails then.
FINAL_EXIT_CODE = 42
WORKERS_ENV = "FINETUNE_WORKERS"
# Beside the invocation: workers train for as long as the task that made them renews it. Kubernetes deletes a Job with
# the pod that owns it, but the API server may be away when the task dies, and the pod may stay.
LEASE_FILE = "lease"
# Is set where each pod of a Job takes trials of a search, in place of training one network together.
APART_ENV = "FINETUNE_APART"
INDEX_ENV = "JOB_COMPLETION_INDEX"  # Kubernetes sets it in the pods of an Indexed Job
JOB_ENV = "FINETUNE_WORKER_JOB"
TRAIN_JOB_ENV = "FINETUNE_TRAIN_JOB"  # is set where the Job is to be wrapped in a TrainJob
