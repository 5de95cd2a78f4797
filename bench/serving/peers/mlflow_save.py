"""Save a model in MLflow's format: python mlflow_save.py MODEL.joblib FOLDER."""

import sys

import joblib
import mlflow.sklearn

if __name__ == "__main__":
    mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2], serialization_format="cloudpickle")
