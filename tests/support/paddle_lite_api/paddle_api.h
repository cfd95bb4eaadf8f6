// As much of Paddle Lite's interface as a self-test uses, for the library inside the wheel `paddlelite`, which comes
// without headers. The library makes and reads these objects, so that sizes need only be large enough.

#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace paddle {
namespace lite_api {

enum class TargetType : int { kHost = 1 };
enum class PrecisionType : int { kInt8 = 2, kInt32 = 3, kInt64 = 7 };
enum PowerMode { LITE_POWER_NO_BIND = 3 };

struct Tensor {
  void Resize(const std::vector<int64_t>& shape);
  void SetPrecision(PrecisionType precision);
  std::vector<int64_t> shape() const;
  template <typename T>
  const T* data() const;
  template <typename T>
  T* mutable_data(TargetType type = TargetType::kHost) const;

 private:
  void* raw_;
};

class PaddlePredictor {
 public:
  virtual std::unique_ptr<Tensor> GetInput(int position) = 0;
  virtual std::unique_ptr<const Tensor> GetOutput(int position) const = 0;
  virtual void Run() = 0;
};

class ConfigBase {
 public:
  explicit ConfigBase(PowerMode mode, int threads);
  void set_threads(int threads);
};

class MobileConfig {
 public:
  MobileConfig() { new (storage_) ConfigBase(LITE_POWER_NO_BIND, 1); }
  void set_model_from_file(const std::string& path);
  void set_threads(int threads) { reinterpret_cast<ConfigBase*>(storage_)->set_threads(threads); }

 private:
  alignas(16) unsigned char storage_[4096] = {};
};

template <typename ConfigT>
std::shared_ptr<PaddlePredictor> CreatePaddlePredictor(const ConfigT& config);

}  // namespace lite_api
}  // namespace paddle
