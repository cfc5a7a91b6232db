"""What the lists of cases say of a dtype: its bytes and its short name. "tf32" is a way to multiply float32."""

SIZE = {
    "float64": 8, "float32": 4, "tf32": 4, "int32": 4, "float16": 2, "bfloat16": 2,
    "float8_e4m3fn": 1, "float8_e5m2": 1, "int8": 1,
}  # fmt: skip
SHORT = {
    "float64": "fp64", "float32": "fp32", "tf32": "tf32", "int32": "int32", "float16": "fp16", "bfloat16": "bf16",
    "float8_e4m3fn": "e4m3", "float8_e5m2": "e5m2", "int8": "int8",
}  # fmt: skip
