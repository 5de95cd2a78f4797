"""The usual way to serve a model without a product: FastAPI on uvicorn with uvloop and httptools, one process.

    python fastapi_server.py MODELS PORT

Handlers are coroutines: a thread for each request would only add to what one small prediction takes.
"""

import sys
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

MODELS = {path.stem: joblib.load(path) for path in Path(sys.argv[1]).glob("*.joblib")}
app = FastAPI()


class Numbers(BaseModel):
    rows: list[list[float]]


class Texts(BaseModel):
    rows: list[str]


class Table(BaseModel):
    rows: list[list[Any]]


@app.get("/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/numbers/{name}")
async def numbers(name: str, body: Numbers) -> dict[str, list[int]]:
    return {"predictions": MODELS[name].predict(body.rows).tolist()}


@app.post("/text/{name}")
async def text(name: str, body: Texts) -> dict[str, list[str]]:
    return {"predictions": MODELS[name].predict(body.rows).tolist()}


@app.post("/mixed/{name}")
async def mixed(name: str, body: Table) -> dict[str, list[str]]:
    model = MODELS[name]
    return {"predictions": model.predict(pd.DataFrame(body.rows, columns=model.feature_names_in_)).tolist()}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
