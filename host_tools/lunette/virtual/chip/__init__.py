"""The simulated ESP32: what sits behind the mocked HAL, one module a peripheral."""
