"""Flags that fairseq's tools share and that are about training: ``fairseq-interactive`` takes them, too.

It does nothing with them, so neither does the program that stands in for it. They are those of fairseq
0.12.2, without what says how a checkpoint is cut in parts, which is refused.
"""

_WITH_A_VALUE = """
    aim-repo aim-run-hash all-gather-list-size amp-batch-retries amp-init-scale amp-scale-window
    batch-size-valid best-checkpoint-metric bucket-cap-mb continue-once curriculum data-buffer-size
    dataset-impl ddp-backend ddp-comm-hook device-id distributed-backend distributed-init-method
    distributed-num-procs distributed-port distributed-rank distributed-world-size empty-cache-freq
    finetune-from-model fixed-validation-seed fp16-init-scale fp16-scale-tolerance fp16-scale-window
    heartbeat-timeout keep-best-checkpoints keep-interval-updates keep-interval-updates-pattern
    keep-last-epochs local_rank localsgd-frequency log-file lr-scheduler max-sentences-valid
    max-tokens-valid max-valid-steps min-loss-scale nprocs-per-node num-shards nval optimizer
    optimizer-overrides patience pipeline-balance pipeline-checkpoint pipeline-chunks
    pipeline-decoder-balance pipeline-decoder-devices pipeline-devices pipeline-encoder-balance
    pipeline-encoder-devices plasma-path quantization-config-path required-seq-len-multiple
    restore-file save-dir save-interval save-interval-updates shard-id slowmo-base-algorithm
    slowmo-momentum tensorboard-logdir threshold-loss-scale train-subset update-epoch-batch-itr
    valid-subset validate-after-updates validate-interval validate-interval-updates wandb-project
    zero-sharding
"""

_SWITCHES = """
    amp azureml-logging broadcast-buffers combine-val combine-valid-subsets cpu-offload
    disable-validation distributed-no-spawn fast-stat-sync find-unused-parameters
    fix-batches-to-gpus fp16-no-flatten-grads fp32-reduce-scatter gradient-as-bucket-view
    grouped-shuffling ignore-unused-valid-subsets load-checkpoint-on-all-dp-ranks
    maximize-best-checkpoint-metric memory-efficient-bf16 memory-efficient-fp16 no-epoch-checkpoints
    no-last-checkpoints no-reshard-after-forward no-save no-save-optimizer-state
    not-fsdp-flatten-parameters on-cpu-convert-precision profile reset-dataloader reset-logging
    reset-lr-scheduler reset-meters reset-optimizer save-async suppress-crashes
    update-ordered-indices-seed use-plasma-view use-sharded-state write-checkpoints-asynchronously
"""

WITH_A_VALUE, SWITCHES = _WITH_A_VALUE.split(), _SWITCHES.split()
