"""Trainers' own client code, run in an environment of its own: `theirs.py CASE URL CHECKOUTS` prints what it returns.

A function of a trainer is taken out of its file and run with what it uses of its module; importing the whole module
would need Ray, vLLM and a GPU. CHECKOUTS is a folder of owner/name.
"""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PROBLEM = "How many eggs does Janet sell a day?"
SOLUTION = "The answer is 9.\nShe sells 9 eggs."
PROMPT = f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{PROBLEM}<|im_end|>\n<|im_start|>assistant\n"
QUERY = f"{PROMPT}{SOLUTION}<|im_end|>\n"


def taken(path: Path, *names: str, **used: Any) -> SimpleNamespace:
    """The functions of those names, wherever they are in the file, over the names that they use."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    future = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
    module = ast.Module([future, *(node for node in functions if node.name in names)], [])
    found: dict[str, Any] = {"asyncio": asyncio, "json": json, "random": random, "logger": logging.getLogger(), **used}
    exec(compile(ast.fix_missing_locations(module), str(path), "exec"), found)
    return SimpleNamespace(**{name: found[name] for name in names})


async def openrlhf(url: str, checkouts: Path) -> Any:
    import aiohttp

    path = checkouts / "OpenRLHF/OpenRLHF/openrlhf/utils/agent.py"
    code = taken(path, "_fetch_rewards_via_http", aiohttp=aiohttp)
    executor = SimpleNamespace(reward_endpoints=[f"{url}/get_reward"])
    one = await code._fetch_rewards_via_http(executor, [QUERY], [PROMPT], ["18"])
    executor.reward_endpoints *= 2
    return {"one": one, "two servers": await code._fetch_rewards_via_http(executor, [QUERY], [PROMPT], ["18"])}


async def slime(url: str, checkouts: Path) -> Any:
    import aiohttp

    path = checkouts / "THUDM/slime/slime/rollout/rm_hub/__init__.py"
    code = taken(path, "remote_rm", "_get_shared_session", aiohttp=aiohttp, _shared_session=None)
    sample = SimpleNamespace(prompt=PROMPT, response=f"{SOLUTION}<|im_end|>", label="18")
    number = await code.remote_rm(SimpleNamespace(rm_url=f"{url}/rm"), sample)
    row = await code.remote_rm(SimpleNamespace(rm_url=f"{url}/rm?format=dict"), sample)
    await code._get_shared_session().close()
    return {"number": number, "dict": row}


async def verl(url: str, checkouts: Path, engine: str) -> Any:
    import aiohttp

    path = checkouts / "verl-project/verl/verl/experimental/reward_loop/reward_loop.py"
    code = taken(path, "_post_request", "compute_score_disrm", aiohttp=aiohttp)
    model = SimpleNamespace(rollout=SimpleNamespace(name=engine), model_path="tiny")
    worker = SimpleNamespace(reward_router_address=url.removeprefix("http://"))
    worker.config = SimpleNamespace(reward=SimpleNamespace(reward_model=model))

    async def rendered(data: Any) -> str:
        return QUERY

    worker._preprocess_reward_inputs = rendered
    worker._post_request = lambda *arguments: code._post_request(worker, *arguments)
    return await code.compute_score_disrm(worker, None)


async def llama_factory(url: str, checkouts: Path) -> Any:
    import requests

    path = checkouts / "hiyouga/LLaMA-Factory/src/llamafactory/train/ppo/ppo_utils.py"
    torch = SimpleNamespace(Tensor=list)
    code = taken(path, "get_rewards_from_server", requests=requests, torch=torch)
    return await asyncio.to_thread(code.get_rewards_from_server, f"{url}/v1/score/evaluation", [QUERY, QUERY])


def cohere_v1(url: str) -> Any:
    import cohere

    client = cohere.Client("key", base_url=url)
    found = client.rerank(model="tiny", query=PROBLEM, documents=[SOLUTION, "She sells none."], top_n=2)
    return [(each.index, each.relevance_score) for each in found.results]


def cohere_v2(url: str) -> Any:
    import cohere

    client = cohere.ClientV2("key", base_url=url)
    found = client.rerank(model="tiny", query=PROBLEM, documents=["She sells none.", SOLUTION], top_n=1)
    return [(each.index, each.relevance_score) for each in found.results]


def openai(url: str) -> Any:
    from openai import OpenAI

    found = OpenAI(base_url=f"{url}/v1", api_key="key").embeddings.create(model="tiny", input=[QUERY])
    return [each.embedding for each in found.data]


def tei(url: str) -> Any:
    from tei_client import HttpClient

    found = HttpClient(f"{url}/tei").rerank(PROBLEM, [SOLUTION, "She sells none."], return_text=True)
    return [rank.model_dump() for rank in found.ranks]


async def kserve(url: str, checkouts: Path) -> Any:
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    inputs = [
        InferInput("problem", [1], "BYTES", data=[PROBLEM]),
        InferInput("steps", [2], "BYTES", data=SOLUTION.split("\n")),
    ]
    found = await client.infer(url, InferRequest("tiny", inputs), model_name="tiny")
    ready = [
        await client.is_server_live(url),
        await client.is_server_ready(url),
        await client.is_model_ready(url, "tiny"),
    ]
    await client.close()
    return {"ready": ready, "outputs": {each.name: each.data for each in found.outputs}}


ASYNC: dict[str, Callable[..., Any]] = {
    "openrlhf": openrlhf,
    "slime": slime,
    "verl-vllm": lambda url, checkouts: verl(url, checkouts, "vllm"),
    "verl-sglang": lambda url, checkouts: verl(url, checkouts, "sglang"),
    "llama_factory": llama_factory,
    "kserve": kserve,
}
BLOCKING: dict[str, Callable[[str], Any]] = {
    "cohere-v1": cohere_v1,
    "cohere-v2": cohere_v2,
    "openai": openai,
    "tei": tei,
}


def main(case: str, url: str, checkouts: str) -> None:
    found = asyncio.run(ASYNC[case](url, Path(checkouts))) if case in ASYNC else BLOCKING[case](url)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
