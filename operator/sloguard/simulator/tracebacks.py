"""The stack traces around vLLM's failures, shortened to the frames that classifiers look at.

Frames and wording are those of the recordings (vLLM 0.24.0); line numbers and all.
"""

from __future__ import annotations

_ENTRY = """\
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "<frozen runpy>", line 88, in _run_code
  File "site-packages/vllm/entrypoints/cli/main.py", line 101, in <module>
    main()
  File "site-packages/vllm/entrypoints/cli/main.py", line 95, in main
    args.dispatch_function(args)
  File "site-packages/vllm/entrypoints/cli/serve.py", line 148, in cmd
    uvloop.run(run_server(args))
"""
_SERVER = """\
  File "site-packages/vllm/entrypoints/openai/api_server.py", line 663, in run_server
    await run_server_worker(listen_address, sock, args, **uvicorn_kwargs)
  File "site-packages/vllm/entrypoints/openai/api_server.py", line 677, in run_server_worker
    async with build_async_engine_client(
"""
_LAUNCH = """\
  File "site-packages/vllm/v1/engine/async_llm.py", line 146, in __init__
    self.engine_core = EngineCoreClient.make_async_mp_client(
  File "site-packages/vllm/v1/engine/core_client.py", line 573, in __init__
    with launch_core_engines(
  File "site-packages/vllm/v1/engine/utils.py", line 1213, in launch_core_engines
    wait_for_engine_startup(
"""
_CREATE_CONFIG = """\
  File "site-packages/vllm/entrypoints/openai/api_server.py", line 123, in build_async_engine_client_from_engine_args
    vllm_config = engine_args.create_engine_config(usage_context=usage_context)
"""
_SET_UP_SOCKET = """\
  File "site-packages/vllm/entrypoints/openai/api_server.py", line 662, in run_server
    listen_address, sock = setup_server(args)
  File "site-packages/vllm/entrypoints/openai/api_server.py", line 541, in setup_server
    sock = create_server_socket(sock_addr)
  File "site-packages/vllm/entrypoints/openai/api_server.py", line 490, in create_server_socket
    sock.bind(addr)
"""
_MODEL_PATH = """\
  File "site-packages/vllm/entrypoints/openai/api_server.py", line 94, in build_async_engine_client
    engine_args = AsyncEngineArgs.from_cli_args(args)
  File "site-packages/vllm/engine/arg_utils.py", line 765, in __post_init__
    self.model = get_model_path(self.model, self.revision)
  File "site-packages/huggingface_hub/_snapshot_download.py", line 311, in snapshot_download
"""

ENGINE_FAILED = (
    _ENTRY
    + _SERVER
    + _LAUNCH
    + (
        '  File "site-packages/vllm/v1/engine/utils.py", line 1272, in wait_for_engine_startup\n'
        "    raise RuntimeError(\n"
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    )
)
ENGINE_TIMEOUT = (
    _ENTRY
    + _SERVER
    + _LAUNCH
    + (
        "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight "
        "loading for large models. Waited 600s (configured by VLLM_ENGINE_READY_TIMEOUT_S). To increase the timeout, "
        "set the environment variable: VLLM_ENGINE_READY_TIMEOUT_S=<seconds>"
    )
)


def port_in_use() -> str:
    return _ENTRY + _SET_UP_SOCKET + "OSError: [Errno 98] Address already in use"


def model_missing() -> str:
    return (
        _ENTRY
        + _SERVER
        + _MODEL_PATH
        + (
            "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the "
            "specified revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and "
            "downloads online, pass 'local_files_only=False' as input."
        )
    )


def model_download() -> str:
    return (
        _ENTRY
        + _SERVER
        + _MODEL_PATH
        + (
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the "
            "cached files.\nCheck your internet connection or see how to run the library in offline mode at "
            "'https://huggingface.co/docs/transformers/installation#offline-mode'."
        )
    )


def invalid_configuration(config: str | None, reason: str, hint: str) -> str:
    """A pydantic ValidationError of one class, or a plain ValueError."""
    head = _ENTRY + _SERVER + _CREATE_CONFIG
    if config is None:
        return f"{head}ValueError: {reason}"
    where = f"{hint}\n  " if hint else "  "
    kind = "greater_than_equal" if "greater than or equal" in reason else "value_error"
    return (
        f"{head}pydantic_core._pydantic_core.ValidationError: 1 validation error for {config}\n"
        f"{where}{reason}\n"
        f"    For further information visit https://errors.pydantic.dev/2.13/v/{kind}"
    )


_CORE_INIT = """\
Traceback (most recent call last):
  File "site-packages/vllm/v1/engine/core.py", line 1200, in run_engine_core
    engine_core = EngineCoreProc(*args, engine_index=dp_rank, **kwargs)
  File "site-packages/vllm/v1/engine/core.py", line 966, in __init__
    super().__init__(
"""
_INIT_KV = """\
  File "site-packages/vllm/v1/engine/core.py", line 133, in __init__
    kv_cache_config = self._initialize_kv_caches(vllm_config)
"""
_STAGES = {
    "init": """\
  File "site-packages/vllm/v1/executor/uniproc_executor.py", line 51, in _init_executor
    self.driver_worker.init_device()
  File "site-packages/vllm/v1/worker/gpu_worker.py", line 342, in init_device
    self.requested_memory = request_memory(init_snapshot, self.cache_config)
""",
    "load": """\
  File "site-packages/vllm/v1/executor/uniproc_executor.py", line 52, in _init_executor
    self.driver_worker.load_model()
  File "site-packages/vllm/v1/worker/gpu_model_runner.py", line 5189, in load_model
    self.model = model_loader.load_model(
""",
    "profile": _INIT_KV
    + """\
  File "site-packages/vllm/v1/engine/core.py", line 280, in _initialize_kv_caches
    available_gpu_memory = self.model_executor.determine_available_memory()
  File "site-packages/vllm/v1/worker/gpu_worker.py", line 434, in determine_available_memory
    self.model_runner.profile_run()
  File "site-packages/vllm/v1/worker/gpu_model_runner.py", line 6254, in profile_run
    hidden_states, last_hidden_states = self._dummy_run(
""",
    "kv": _INIT_KV
    + """\
  File "site-packages/vllm/v1/engine/core.py", line 294, in _initialize_kv_caches
    kv_cache_configs = get_kv_cache_configs(
  File "site-packages/vllm/v1/core/kv_cache_utils.py", line 2101, in get_kv_cache_configs
    _check_enough_kv_cache_memory(
  File "site-packages/vllm/v1/core/kv_cache_utils.py", line 740, in _check_enough_kv_cache_memory
    raise ValueError(
""",
    "graphs": _INIT_KV
    + """\
  File "site-packages/vllm/v1/engine/core.py", line 321, in _initialize_kv_caches
    self.model_executor.initialize_from_config(kv_cache_configs)
  File "site-packages/vllm/v1/worker/gpu_worker.py", line 656, in compile_or_warm_up_model
    cuda_graph_memory_bytes = self.model_runner.capture_model()
  File "site-packages/vllm/v1/worker/gpu_model_runner.py", line 6630, in capture_model
    self._capture_cudagraphs(
""",
    "sampler": """\
  File "site-packages/vllm/v1/worker/gpu_model_runner.py", line 6086, in _dummy_sampler_run
    sampler_output = self.sampler(
  File "site-packages/vllm/v1/sample/ops/topk_topp_sampler.py", line 434, in empty_exponential_noise_like
    return torch.empty(probs.shape, dtype=dtype, device=probs.device)
""",
}


def core_startup(stage: str, error: str) -> str:
    """The engine's trace of a failure in that stage; `error` is the last line, with its exception's name."""
    return f"{_CORE_INIT}{_STAGES[stage]}{error}"


def sampler_warm_up(oom: str, sequences: int) -> str:
    """The two chained traces of a sampler that runs out of memory while warming up."""
    return (
        f"Traceback (most recent call last):\n{_STAGES['sampler']}{oom}\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        f"{_CORE_INIT}{_INIT_KV}"
        '  File "site-packages/vllm/v1/worker/gpu_worker.py", line 756, in compile_or_warm_up_model\n'
        "    self.model_runner._dummy_sampler_run(hidden_states=last_hidden_states)\n"
        '  File "site-packages/vllm/v1/worker/gpu_model_runner.py", line 6111, in _dummy_sampler_run\n'
        "    raise RuntimeError(\n"
        f"RuntimeError: CUDA out of memory occurred when warming up sampler with {sequences} dummy requests. Please "
        "try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine."
    )


def core_step(error: str) -> str:
    """The engine's trace of a step that failed."""
    return (
        """\
Traceback (most recent call last):
  File "site-packages/vllm/v1/engine/core.py", line 1224, in run_engine_core
    engine_core.run_busy_loop()
  File "site-packages/vllm/v1/engine/core.py", line 1265, in run_busy_loop
    self._process_engine_step()
  File "site-packages/vllm/v1/engine/core.py", line 549, in step_with_batch_queue
    exec_future = self.model_executor.execute_model(
  File "site-packages/vllm/v1/worker/gpu_worker.py", line 896, in execute_model
    output = self.model_runner.execute_model(
  File "site-packages/vllm/v1/worker/gpu_model_runner.py", line 4332, in execute_model
    model_output = self._model_forward(
"""
        + error
    )


ENGINE_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
OUTPUT_HANDLER_FAILED = f"""\
AsyncLLM output_handler failed.
Traceback (most recent call last):
  File "site-packages/vllm/v1/engine/async_llm.py", line 660, in output_handler
    outputs = await engine_core.get_output_async()
  File "site-packages/vllm/v1/engine/core_client.py", line 1061, in get_output_async
    raise self._format_exception(outputs) from None
vllm.v1.engine.exceptions.EngineDeadError: {ENGINE_DEAD}"""
STREAM_FAILED = f"""\
Error in completion stream generator.
Traceback (most recent call last):
  File "site-packages/vllm/entrypoints/openai/completion/serving.py", line 306, in completion_stream_generator
    async for prompt_idx, res in result_generator:
  File "site-packages/vllm/v1/engine/output_processor.py", line 85, in get
    raise output
vllm.v1.engine.exceptions.EngineDeadError: {ENGINE_DEAD}"""
