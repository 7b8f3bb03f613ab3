from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Format(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PICKLE: _ClassVar[Format]
    JSON: _ClassVar[Format]
PICKLE: Format
JSON: Format

class OpenSessionRequest(_message.Message):
    __slots__ = ("name", "namespace", "lease_s", "runtime_env")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_ENV_FIELD_NUMBER: _ClassVar[int]
    name: str
    namespace: str
    lease_s: float
    runtime_env: RuntimeEnv
    def __init__(self, name: _Optional[str] = ..., namespace: _Optional[str] = ..., lease_s: _Optional[float] = ..., runtime_env: _Optional[_Union[RuntimeEnv, _Mapping]] = ...) -> None: ...

class OpenSessionReply(_message.Message):
    __slots__ = ("session", "lease_s", "namespace")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    lease_s: float
    namespace: str
    def __init__(self, session: _Optional[bytes] = ..., lease_s: _Optional[float] = ..., namespace: _Optional[str] = ...) -> None: ...

class RenewSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    def __init__(self, session: _Optional[bytes] = ...) -> None: ...

class RenewSessionReply(_message.Message):
    __slots__ = ("lease_s",)
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    lease_s: float
    def __init__(self, lease_s: _Optional[float] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    def __init__(self, session: _Optional[bytes] = ...) -> None: ...

class CloseSessionReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RuntimeEnv(_message.Message):
    __slots__ = ("env_vars", "working_dir", "py_modules")
    class EnvVarsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ENV_VARS_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIR_FIELD_NUMBER: _ClassVar[int]
    PY_MODULES_FIELD_NUMBER: _ClassVar[int]
    env_vars: _containers.ScalarMap[str, str]
    working_dir: str
    py_modules: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, env_vars: _Optional[_Mapping[str, str]] = ..., working_dir: _Optional[str] = ..., py_modules: _Optional[_Iterable[str]] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("pickle", "json", "ref")
    PICKLE_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    pickle: Pickle
    json: str
    ref: bytes
    def __init__(self, pickle: _Optional[_Union[Pickle, _Mapping]] = ..., json: _Optional[str] = ..., ref: _Optional[bytes] = ...) -> None: ...

class Pickle(_message.Message):
    __slots__ = ("data", "buffers")
    DATA_FIELD_NUMBER: _ClassVar[int]
    BUFFERS_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    buffers: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, data: _Optional[bytes] = ..., buffers: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Code(_message.Message):
    __slots__ = ("pickle", "path")
    PICKLE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    pickle: bytes
    path: str
    def __init__(self, pickle: _Optional[bytes] = ..., path: _Optional[str] = ...) -> None: ...

class Arguments(_message.Message):
    __slots__ = ("positional", "keyword")
    class KeywordEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    POSITIONAL_FIELD_NUMBER: _ClassVar[int]
    KEYWORD_FIELD_NUMBER: _ClassVar[int]
    positional: _containers.RepeatedCompositeFieldContainer[Value]
    keyword: _containers.MessageMap[str, Value]
    def __init__(self, positional: _Optional[_Iterable[_Union[Value, _Mapping]]] = ..., keyword: _Optional[_Mapping[str, Value]] = ...) -> None: ...

class TaskOptions(_message.Message):
    __slots__ = ("num_cpus", "num_gpus", "resources", "memory", "max_retries", "num_returns", "name", "runtime_env")
    class ResourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NUM_CPUS_FIELD_NUMBER: _ClassVar[int]
    NUM_GPUS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    NUM_RETURNS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_ENV_FIELD_NUMBER: _ClassVar[int]
    num_cpus: float
    num_gpus: float
    resources: _containers.ScalarMap[str, float]
    memory: int
    max_retries: int
    num_returns: int
    name: str
    runtime_env: RuntimeEnv
    def __init__(self, num_cpus: _Optional[float] = ..., num_gpus: _Optional[float] = ..., resources: _Optional[_Mapping[str, float]] = ..., memory: _Optional[int] = ..., max_retries: _Optional[int] = ..., num_returns: _Optional[int] = ..., name: _Optional[str] = ..., runtime_env: _Optional[_Union[RuntimeEnv, _Mapping]] = ...) -> None: ...

class SubmitTaskRequest(_message.Message):
    __slots__ = ("session", "function", "arguments", "options")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    function: Code
    arguments: Arguments
    options: TaskOptions
    def __init__(self, session: _Optional[bytes] = ..., function: _Optional[_Union[Code, _Mapping]] = ..., arguments: _Optional[_Union[Arguments, _Mapping]] = ..., options: _Optional[_Union[TaskOptions, _Mapping]] = ...) -> None: ...

class SubmitTaskReply(_message.Message):
    __slots__ = ("refs",)
    REFS_FIELD_NUMBER: _ClassVar[int]
    refs: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, refs: _Optional[_Iterable[bytes]] = ...) -> None: ...

class GetTaskResultRequest(_message.Message):
    __slots__ = ("session", "ref", "format")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    ref: bytes
    format: Format
    def __init__(self, session: _Optional[bytes] = ..., ref: _Optional[bytes] = ..., format: _Optional[_Union[Format, str]] = ...) -> None: ...

class TaskResult(_message.Message):
    __slots__ = ("value", "error", "large")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LARGE_FIELD_NUMBER: _ClassVar[int]
    value: Value
    error: TaskError
    large: int
    def __init__(self, value: _Optional[_Union[Value, _Mapping]] = ..., error: _Optional[_Union[TaskError, _Mapping]] = ..., large: _Optional[int] = ...) -> None: ...

class TaskError(_message.Message):
    __slots__ = ("type", "message", "function", "traceback")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    TRACEBACK_FIELD_NUMBER: _ClassVar[int]
    type: str
    message: str
    function: str
    traceback: str
    def __init__(self, type: _Optional[str] = ..., message: _Optional[str] = ..., function: _Optional[str] = ..., traceback: _Optional[str] = ...) -> None: ...

class CancelTaskRequest(_message.Message):
    __slots__ = ("session", "ref", "force", "recursive")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    ref: bytes
    force: bool
    recursive: bool
    def __init__(self, session: _Optional[bytes] = ..., ref: _Optional[bytes] = ..., force: _Optional[bool] = ..., recursive: _Optional[bool] = ...) -> None: ...

class CancelTaskReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ActorOptions(_message.Message):
    __slots__ = ("num_cpus", "num_gpus", "resources", "memory", "max_restarts", "max_task_retries", "max_concurrency", "name", "namespace", "detached", "get_if_exists", "runtime_env")
    class ResourcesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NUM_CPUS_FIELD_NUMBER: _ClassVar[int]
    NUM_GPUS_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    MAX_RESTARTS_FIELD_NUMBER: _ClassVar[int]
    MAX_TASK_RETRIES_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    GET_IF_EXISTS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_ENV_FIELD_NUMBER: _ClassVar[int]
    num_cpus: float
    num_gpus: float
    resources: _containers.ScalarMap[str, float]
    memory: int
    max_restarts: int
    max_task_retries: int
    max_concurrency: int
    name: str
    namespace: str
    detached: bool
    get_if_exists: bool
    runtime_env: RuntimeEnv
    def __init__(self, num_cpus: _Optional[float] = ..., num_gpus: _Optional[float] = ..., resources: _Optional[_Mapping[str, float]] = ..., memory: _Optional[int] = ..., max_restarts: _Optional[int] = ..., max_task_retries: _Optional[int] = ..., max_concurrency: _Optional[int] = ..., name: _Optional[str] = ..., namespace: _Optional[str] = ..., detached: _Optional[bool] = ..., get_if_exists: _Optional[bool] = ..., runtime_env: _Optional[_Union[RuntimeEnv, _Mapping]] = ...) -> None: ...

class CreateActorRequest(_message.Message):
    __slots__ = ("session", "actor_class", "arguments", "options")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_CLASS_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    actor_class: Code
    arguments: Arguments
    options: ActorOptions
    def __init__(self, session: _Optional[bytes] = ..., actor_class: _Optional[_Union[Code, _Mapping]] = ..., arguments: _Optional[_Union[Arguments, _Mapping]] = ..., options: _Optional[_Union[ActorOptions, _Mapping]] = ...) -> None: ...

class GetActorRequest(_message.Message):
    __slots__ = ("session", "name", "namespace")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    name: str
    namespace: str
    def __init__(self, session: _Optional[bytes] = ..., name: _Optional[str] = ..., namespace: _Optional[str] = ...) -> None: ...

class ActorReply(_message.Message):
    __slots__ = ("actor", "class_name", "methods")
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    actor: bytes
    class_name: str
    methods: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, actor: _Optional[bytes] = ..., class_name: _Optional[str] = ..., methods: _Optional[_Iterable[str]] = ...) -> None: ...

class CallActorRequest(_message.Message):
    __slots__ = ("session", "actor", "method", "arguments", "num_returns")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    NUM_RETURNS_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    actor: bytes
    method: str
    arguments: Arguments
    num_returns: int
    def __init__(self, session: _Optional[bytes] = ..., actor: _Optional[bytes] = ..., method: _Optional[str] = ..., arguments: _Optional[_Union[Arguments, _Mapping]] = ..., num_returns: _Optional[int] = ...) -> None: ...

class KillActorRequest(_message.Message):
    __slots__ = ("session", "actor", "restart")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    actor: bytes
    restart: bool
    def __init__(self, session: _Optional[bytes] = ..., actor: _Optional[bytes] = ..., restart: _Optional[bool] = ...) -> None: ...

class KillActorReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PutObjectRequest(_message.Message):
    __slots__ = ("session", "format", "part_sizes", "data")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PART_SIZES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    format: Format
    part_sizes: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, session: _Optional[bytes] = ..., format: _Optional[_Union[Format, str]] = ..., part_sizes: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutObjectReply(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: bytes
    def __init__(self, ref: _Optional[bytes] = ...) -> None: ...

class GetObjectRequest(_message.Message):
    __slots__ = ("session", "ref", "format")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    ref: bytes
    format: Format
    def __init__(self, session: _Optional[bytes] = ..., ref: _Optional[bytes] = ..., format: _Optional[_Union[Format, str]] = ...) -> None: ...

class ObjectChunk(_message.Message):
    __slots__ = ("part_sizes", "error", "data")
    PART_SIZES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    part_sizes: _containers.RepeatedScalarFieldContainer[int]
    error: TaskError
    data: bytes
    def __init__(self, part_sizes: _Optional[_Iterable[int]] = ..., error: _Optional[_Union[TaskError, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class WaitObjectsRequest(_message.Message):
    __slots__ = ("session", "refs", "num_returns", "timeout_s")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    NUM_RETURNS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    refs: _containers.RepeatedScalarFieldContainer[bytes]
    num_returns: int
    timeout_s: float
    def __init__(self, session: _Optional[bytes] = ..., refs: _Optional[_Iterable[bytes]] = ..., num_returns: _Optional[int] = ..., timeout_s: _Optional[float] = ...) -> None: ...

class WaitObjectsReply(_message.Message):
    __slots__ = ("ready", "pending")
    READY_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    ready: _containers.RepeatedScalarFieldContainer[bytes]
    pending: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, ready: _Optional[_Iterable[bytes]] = ..., pending: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReleaseObjectsRequest(_message.Message):
    __slots__ = ("session", "ids")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    session: bytes
    ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, session: _Optional[bytes] = ..., ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ReleaseObjectsReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClusterStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ClusterStatusReply(_message.Message):
    __slots__ = ("total", "available", "nodes", "jobs", "actors", "workers", "store", "waiting")
    class TotalEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class AvailableEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class StoreEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    ACTORS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    total: _containers.ScalarMap[str, float]
    available: _containers.ScalarMap[str, float]
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    actors: _containers.RepeatedCompositeFieldContainer[Actor]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    store: _containers.ScalarMap[str, int]
    waiting: _containers.RepeatedCompositeFieldContainer[Waiting]
    def __init__(self, total: _Optional[_Mapping[str, float]] = ..., available: _Optional[_Mapping[str, float]] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., actors: _Optional[_Iterable[_Union[Actor, _Mapping]]] = ..., workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., store: _Optional[_Mapping[str, int]] = ..., waiting: _Optional[_Iterable[_Union[Waiting, _Mapping]]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("name", "hostname", "alive", "total", "available")
    class TotalEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class AvailableEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    hostname: str
    alive: bool
    total: _containers.ScalarMap[str, float]
    available: _containers.ScalarMap[str, float]
    def __init__(self, name: _Optional[str] = ..., hostname: _Optional[str] = ..., alive: _Optional[bool] = ..., total: _Optional[_Mapping[str, float]] = ..., available: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "name", "namespace", "start", "end")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    id: int
    name: str
    namespace: str
    start: float
    end: float
    def __init__(self, id: _Optional[int] = ..., name: _Optional[str] = ..., namespace: _Optional[str] = ..., start: _Optional[float] = ..., end: _Optional[float] = ...) -> None: ...

class Actor(_message.Message):
    __slots__ = ("id", "job", "name", "namespace", "class_name", "state", "restarts", "node", "cause")
    ID_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    id: bytes
    job: int
    name: str
    namespace: str
    class_name: str
    state: str
    restarts: int
    node: str
    cause: str
    def __init__(self, id: _Optional[bytes] = ..., job: _Optional[int] = ..., name: _Optional[str] = ..., namespace: _Optional[str] = ..., class_name: _Optional[str] = ..., state: _Optional[str] = ..., restarts: _Optional[int] = ..., node: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("pid", "job", "leases", "actor")
    PID_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    pid: int
    job: int
    leases: int
    actor: bytes
    def __init__(self, pid: _Optional[int] = ..., job: _Optional[int] = ..., leases: _Optional[int] = ..., actor: _Optional[bytes] = ...) -> None: ...

class Waiting(_message.Message):
    __slots__ = ("job", "name", "wanted", "held", "infeasible")
    JOB_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    INFEASIBLE_FIELD_NUMBER: _ClassVar[int]
    job: int
    name: str
    wanted: int
    held: int
    infeasible: bool
    def __init__(self, job: _Optional[int] = ..., name: _Optional[str] = ..., wanted: _Optional[int] = ..., held: _Optional[int] = ..., infeasible: _Optional[bool] = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("frames", "deflated")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    DEFLATED_FIELD_NUMBER: _ClassVar[int]
    frames: bytes
    deflated: bytes
    def __init__(self, frames: _Optional[bytes] = ..., deflated: _Optional[bytes] = ...) -> None: ...
