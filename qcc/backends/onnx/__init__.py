"""Models as ONNX files: the float part by paddle2onnx, integers and scales as they were frozen."""
