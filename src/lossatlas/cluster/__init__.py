"""Executors beyond one process, from settings; Dask is imported only when it is used."""

from lossatlas.cluster.opening import open_executor as open_executor
from lossatlas.cluster.opening import points_executor as points_executor
