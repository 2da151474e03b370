"""Read a sentence-transformers layout: modules.json, the router, the pooling and the prompts.

Class names are dotted and moved between releases (``sentence_transformers.models.Pooling`` is now
``sentence_transformers.sentence_transformer.modules.pooling.Pooling``), so only the last part counts. Seen with
models saved by sentence-transformers 2.0 to 6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from release_tool.core.kinds import Activation, PoolingMode
from release_tool.core.modeljson import bad, get_count, get_flag, get_text, load, load_object, shown
from release_tool.errors import UnsupportedModel

if TYPE_CHECKING:
    from release_tool.core.modeljson import Reader

MODULES_FILE = "modules.json"
ROUTER_FILE = "router_config.json"
PROMPTS_FILE = "config_sentence_transformers.json"

_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
POOLING_WORDS = {
    "cls": PoolingMode.CLS,
    "max": PoolingMode.MAX,
    "mean": PoolingMode.MEAN,
    "mean_sqrt_len_tokens": PoolingMode.MEAN_SQRT_LEN,
    "weightedmean": PoolingMode.WEIGHTED_MEAN,
    "lasttoken": PoolingMode.LAST_TOKEN,
}
"""The library's word → ML Commons' word."""

_SPLADE_ACTIVATIONS = {"relu": Activation.LOG1P, "log1p_relu": Activation.L0}
"""SpladePooling names what stands inside its own log1p; ``log1p_relu`` there is what others call l0."""

_PASSAGE_PROMPTS = ("document", "passage", "corpus")
"""The names that encode_document looks for, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module: the class's last name, its dotted name, and the folder of its files (empty: the root)."""

    name: str
    dotted: str
    path: str

    @property
    def foreign(self) -> bool:
        """Whether the class is code of the model's own and not of the library."""
        return self.dotted.split(".")[0] != "sentence_transformers"

    def file(self, name: str) -> str:
        """Return the path of a file of this module."""
        return f"{self.path}/{name}" if self.path else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The modules that encode a document, and those that encode a query where a router tells them apart."""

    modules: tuple[Module, ...] = ()
    query_modules: tuple[Module, ...] = ()
    """Empty without a router."""

    @property
    def all(self) -> tuple[Module, ...]:
        """Every module once."""
        return tuple(dict.fromkeys((*self.modules, *self.query_modules)))

    def find(self, *names: str) -> Module | None:
        """Return the first document module with one of these class names."""
        return next((module for module in self.modules if module.name in names), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """What a Pooling module says."""

    words: tuple[str, ...]
    """The library's own words, in order; several mean that their vectors are joined."""
    dimension: int | None
    include_prompt: bool = True

    @property
    def mode(self) -> PoolingMode | None:
        """ML Commons' mode; null when several are joined, which the server can't."""
        return POOLING_WORDS[self.words[0]] if len(self.words) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """Non-empty prompts only: sentence-transformers saves empty ones with every model, and those are none."""

    query: str | None = None
    passage: str | None = None
    default: str | None = None
    """The text of the default prompt, which encode puts before every text; null when empty."""
    archetype: str | None = None
    """``SentenceTransformer``, ``SparseEncoder``, ``CrossEncoder`` where the file says so."""
    similarity: str | None = None
    """``similarity_fn_name`` of the same file."""


def read_layout(read: Reader) -> Layout:
    """Return the modules, an empty layout without modules.json.

    Raises:
        UnsupportedModel: a file is not what the library writes, it routes in a way that no server has, or a module
            is code of the model's own.
    """
    layout = _read_layout(read)
    foreign = [module.dotted for module in layout.all if module.foreign]
    if foreign:
        # A transformer's own code (auto_map) is another thing: it is traced as it is.
        raise UnsupportedModel(
            f"{MODULES_FILE} wants {shown(', '.join(foreign))}, a module of the model's own: it can't be exported.",
            hint="Only modules of sentence_transformers can be; a transformer may have code of its own (auto_map).",
        )
    return layout


def _read_layout(read: Reader) -> Layout:
    data = load(read, MODULES_FILE)
    if data is None:
        return Layout()
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data) or not data:
        raise bad(MODULES_FILE, "expected a list of modules")
    modules = tuple(
        _module(get_text(item, "type", MODULES_FILE), get_text(item, "path", MODULES_FILE), MODULES_FILE)
        for item in sorted(data, key=lambda item: get_count(item, "idx", MODULES_FILE) or 0)
    )
    router = next((module for module in modules if module.name in ("Router", "Asym")), None)
    if router is None:
        return Layout(modules=modules)
    if len(modules) != 1:
        raise bad(MODULES_FILE, "a router among other modules can't be served")
    return _routes(read, router)


def _module(dotted: str | None, path: str | None, file: str) -> Module:
    if not dotted:
        raise bad(file, "a module has no type")
    folder = (path or "").strip("/")
    if "\\" in folder or ".." in folder.split("/") or "\x00" in folder:
        raise bad(file, f"a module lies at {shown(folder)}, outside the model")
    return Module(name=dotted.rsplit(".", 1)[-1], dotted=dotted, path=folder)


def _routes(read: Reader, router: Module) -> Layout:
    file = router.file(ROUTER_FILE)
    data = load_object(read, file)
    if data is None:
        # Asym of older releases keeps its routes in config.json.
        file = router.file("config.json")
        data = load_object(read, file)
    types = (data or {}).get("types")
    structure = (data or {}).get("structure")
    if not isinstance(types, dict) or not isinstance(structure, dict):
        raise bad(file, "expected types and structure of the routes")

    def route(name: str) -> tuple[Module, ...]:
        ids = structure.get(name)
        if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
            raise bad(file, f"the route {shown(name)} is no list of modules")
        return tuple(
            _module(types.get(item) if isinstance(types.get(item), str) else None, router.file(item), file)
            for item in ids
        )

    document = next((name for name in _PASSAGE_PROMPTS if name in structure), None)
    if document is None or "query" not in structure:
        raise bad(file, f"expected the routes query and document, found {shown(', '.join(map(str, structure)))}")
    return Layout(modules=route(document), query_modules=route("query"))


def read_pooling(read: Reader, module: Module) -> Pooling:
    """Return what a Pooling module says, in the old booleans or in the newer words."""
    file = module.file("config.json")
    data = load_object(read, file)
    if data is None:
        raise bad(file, "it is missing")
    dimension = get_count(data, "embedding_dimension", file) or get_count(data, "word_embedding_dimension", file)
    include = get_flag(data, "include_prompt", file)
    return Pooling(
        words=_pooling_words(data, file),
        dimension=dimension,
        include_prompt=include is not False,
    )


def _pooling_words(data: dict[str, Any], file: str) -> tuple[str, ...]:
    value = data.get("pooling_mode")
    if value is None:
        words = [word for key, word in _LEGACY_POOLING.items() if get_flag(data, key, file)]
        return tuple(words) or ("mean",)
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not given or not all(isinstance(word, str) for word in given):
        raise bad(file, f"pooling_mode is {shown(value)}, expected words")
    unknown = [word for word in given if word not in POOLING_WORDS]
    if unknown:
        raise bad(file, f"{shown(unknown[0])} is no pooling mode")
    return tuple(given)


def read_splade(read: Reader, module: Module) -> tuple[str, Activation]:
    """Return (pooling strategy, activation) of a SpladePooling module."""
    file = module.file("config.json")
    data = load_object(read, file) or {}
    strategy = get_text(data, "pooling_strategy", file) or "max"
    word = get_text(data, "activation_function", file) or "relu"
    if word not in _SPLADE_ACTIVATIONS:
        raise bad(file, f"{shown(word)} is no activation of a sparse encoder")
    return strategy, _SPLADE_ACTIVATIONS[word]


def read_prompts(read: Reader) -> Prompts:
    """Return the non-empty prompts and what kind of model the file says it is."""
    data = load_object(read, PROMPTS_FILE)
    if data is None:
        return Prompts()
    prompts = data.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(text, (str, type(None))) for text in prompts.values()):
        raise bad(PROMPTS_FILE, f"prompts is {shown(prompts)}, expected texts by name")
    default = get_text(data, "default_prompt_name", PROMPTS_FILE)
    passage = next((prompts[name] for name in _PASSAGE_PROMPTS if prompts.get(name)), None)
    return Prompts(
        query=prompts.get("query") or None,
        passage=passage,
        default=(prompts.get(default) or None) if default else None,
        archetype=get_text(data, "model_type", PROMPTS_FILE),
        similarity=get_text(data, "similarity_fn_name", PROMPTS_FILE),
    )
