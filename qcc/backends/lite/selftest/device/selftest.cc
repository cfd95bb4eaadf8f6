// Runs the files of this folder with Paddle Lite's LightPredictor and tells whether each output is right.
//
//   ./selftest [FOLDER] [THREADS]      prints a line for each output that is wrong, and a sum
//
// Exit status: 0 when all outputs are right, 1 when one is wrong, 2 when the folder cannot be read.
// It needs Paddle Lite's library and its header paddle_api.h alone; see README.md for how it is built.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "paddle_api.h"

using paddle::lite_api::MobileConfig;
using paddle::lite_api::PaddlePredictor;
using paddle::lite_api::Tensor;

namespace {

// What an output that varies by less than this part of its values is judged by: its values, not its range.
const double kVaries = 0.01;
// Differences below are those of numbers that a processor may round to zero.
const double kNegligible = 1e-30;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> fields;
  std::string field;
  std::istringstream stream(text);
  while (std::getline(stream, field, separator)) fields.push_back(field);
  return fields;
}

struct Array {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<char> bytes;
};

struct Limit {
  double largest;
  double mean;
  double norms;
};

struct Found {
  bool right;
  std::string words;
  bool sound;  // false where there are no numbers to compare
};

Array ReadArray(const std::string& folder, const std::vector<std::string>& fields) {
  if (fields.size() < 5) throw std::runtime_error("selftest.txt has a line with too few fields");
  Array array;
  array.name = fields[1];
  array.dtype = fields[2];
  for (const std::string& length : Split(fields[3], ',')) array.shape.push_back(std::stoll(length));
  std::ifstream file(folder + "/" + fields[4], std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + folder + "/" + fields[4]);
  array.bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  return array;
}

template <typename T>
void Fill(Tensor* tensor, const Array& array) {
  const T* values = reinterpret_cast<const T*>(array.bytes.data());
  std::copy(values, values + array.bytes.size() / sizeof(T), tensor->mutable_data<T>());
}

void Feed(Tensor* tensor, const Array& array) {
  tensor->Resize(array.shape);
  if (array.dtype == "float32") {
    Fill<float>(tensor, array);
  } else if (array.dtype == "int8") {
    tensor->SetPrecision(paddle::lite_api::PrecisionType::kInt8);
    Fill<int8_t>(tensor, array);
  } else if (array.dtype == "int32") {
    tensor->SetPrecision(paddle::lite_api::PrecisionType::kInt32);
    Fill<int32_t>(tensor, array);
  } else if (array.dtype == "int64") {
    tensor->SetPrecision(paddle::lite_api::PrecisionType::kInt64);
    Fill<int64_t>(tensor, array);
  } else {
    throw std::runtime_error("inputs of type " + array.dtype + " are not known here");
  }
}

template <typename T>
std::vector<double> Numbers(const T* values, size_t count) {
  return std::vector<double>(values, values + count);
}

std::vector<double> Expected(const Array& array) {
  const char* bytes = array.bytes.data();
  const size_t size = array.bytes.size();
  if (array.dtype == "float32") return Numbers(reinterpret_cast<const float*>(bytes), size / 4);
  if (array.dtype == "int64") return Numbers(reinterpret_cast<const int64_t*>(bytes), size / 8);
  if (array.dtype == "int32") return Numbers(reinterpret_cast<const int32_t*>(bytes), size / 4);
  if (array.dtype == "int8") return Numbers(reinterpret_cast<const int8_t*>(bytes), size);
  if (array.dtype == "bool" || array.dtype == "uint8")
    return Numbers(reinterpret_cast<const uint8_t*>(bytes), size);
  throw std::runtime_error("outputs of type " + array.dtype + " are not known here");
}

std::vector<double> Actual(const Tensor& tensor, const std::string& dtype) {
  size_t count = 1;
  for (int64_t length : tensor.shape()) count *= static_cast<size_t>(length);
  if (dtype == "float32") return Numbers(tensor.data<float>(), count);
  if (dtype == "int64") return Numbers(tensor.data<int64_t>(), count);
  if (dtype == "int32") return Numbers(tensor.data<int32_t>(), count);
  if (dtype == "int8") return Numbers(tensor.data<int8_t>(), count);
  return Numbers(tensor.data<uint8_t>(), count);
}

bool AllFinite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

Found CompareIntegers(const std::vector<double>& found, const std::vector<double>& wanted, const Limit& limit) {
  double largest = 0;
  size_t differ = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(found[i] - wanted[i]));
    differ += found[i] != wanted[i];
  }
  const double share = found.empty() ? 0 : static_cast<double>(differ) / found.size();
  std::ostringstream words;
  words << differ << " of " << found.size() << " integers differ, by up to " << largest;
  return {largest <= limit.largest && share <= limit.mean, words.str(), true};
}

Found CompareFloats(const std::vector<double>& found, const std::vector<double>& wanted, const Limit& limit) {
  if (AllFinite(found) != AllFinite(wanted)) return {false, "values that are not finite", false};
  double low = std::numeric_limits<double>::infinity(), high = -low, size = 0, largest = 0, sum = 0;
  double found_norm = 0, wanted_norm = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(wanted[i])) continue;
    low = std::min(low, wanted[i]);
    high = std::max(high, wanted[i]);
    size = std::max(size, std::abs(wanted[i]));
    double off = std::abs(found[i] - wanted[i]);
    if (off < kNegligible) off = 0;
    largest = std::max(largest, off);
    sum += off;
    found_norm += found[i] * found[i];
    wanted_norm += wanted[i] * wanted[i];
  }
  if (largest == 0) return {true, "equal", true};
  const double varies = high - low;
  const double range = std::max(varies > kVaries * size ? varies : size, kNegligible);
  const double mean = sum / found.size() / range;
  largest /= range;
  const double norms =
      wanted_norm > 0 ? std::abs(std::sqrt(found_norm / wanted_norm) - 1) : std::numeric_limits<double>::infinity();
  std::ostringstream words;
  words << "off by " << largest << " of the range, " << mean << " on average; the norm by " << norms;
  return {largest <= limit.largest && mean <= limit.mean && norms <= limit.norms, words.str(), true};
}

Found Compare(const Tensor& tensor, const Array& wanted, const Limit& limit) {
  const std::vector<double> found = Actual(tensor, wanted.dtype);
  if (std::isinf(limit.largest)) {
    const bool finite = AllFinite(found);
    return {finite, finite ? "not compared" : "values that are not finite", finite};
  }
  const std::vector<double> expected = Expected(wanted);
  if (found.size() != expected.size()) {
    std::ostringstream words;
    words << found.size() << " elements where there should be " << expected.size();
    return {false, words.str(), false};
  }
  return wanted.dtype == "float32" ? CompareFloats(found, expected, limit)
                                   : CompareIntegers(found, expected, limit);
}

class SelfTest {
 public:
  SelfTest(const std::string& folder, int threads) : folder_(folder), threads_(threads) {}

  // Whether all that `selftest.txt` lists is right. Where each layer is right on equal inputs, the whole may be
  // further off than its limits: ties alone have moved it.
  bool Run() {
    std::ifstream manifest(folder_ + "/selftest.txt");
    std::string line;
    if (!std::getline(manifest, line) || line != "qcc-selftest\t1")
      throw std::runtime_error(folder_ + "/selftest.txt is missing, or is no self-test of this version");
    bool fed = false;
    while (std::getline(manifest, line)) {
      const std::vector<std::string> fields = Split(line, '\t');
      if (fields[0] == "file") {
        Open(fields.at(1));
      } else if (fields[0] == "run") {
        ++run_;
        input_ = output_ = 0;
        fed = true;
      } else if (fields[0] == "input") {
        Feed(predictor_->GetInput(input_++).get(), ReadArray(folder_, fields));
      } else if (fields[0] == "output") {
        if (fed) predictor_->Run();
        fed = false;
        Check(fields);
      }
    }
    Sum();
    return unsound_ == 0 && (file_ == "layers.nb" ? wrong_here_ == 0 : wrong_ == 0);
  }

 private:
  void Open(const std::string& name) {
    Sum();
    MobileConfig config;
    config.set_model_from_file(folder_ + "/" + name);
    config.set_threads(threads_);
    predictor_ = paddle::lite_api::CreatePaddlePredictor<MobileConfig>(config);
    file_ = name;
    run_ = 0;
    outputs_ = wrong_here_ = 0;
  }

  void Check(const std::vector<std::string>& fields) {
    if (fields.size() < 8) throw std::runtime_error("selftest.txt has a line with too few fields");
    const Limit limit = {std::stod(fields[5]), std::stod(fields[6]), std::stod(fields[7])};
    const Array wanted = ReadArray(folder_, fields);
    const Found found = Compare(*predictor_->GetOutput(output_++), wanted, limit);
    ++outputs_;
    if (found.right) return;
    ++wrong_here_;
    ++wrong_;
    unsound_ += !found.sound;
    std::cout << file_ << ", run " << run_ << ": WRONG " << wanted.name << ": " << found.words << "\n";
  }

  void Sum() const {
    if (file_.empty()) return;
    std::cout << file_ << ": " << outputs_ - wrong_here_ << " of " << outputs_ << " outputs right, in " << run_
              << " runs\n";
  }

  const std::string folder_;
  const int threads_;
  std::shared_ptr<PaddlePredictor> predictor_;
  std::string file_;
  int run_ = 0, input_ = 0, output_ = 0;
  int outputs_ = 0, wrong_here_ = 0, wrong_ = 0, unsound_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    SelfTest test(argc > 1 ? argv[1] : ".", argc > 2 ? std::atoi(argv[2]) : 1);
    const bool right = test.Run();
    std::cout << (right ? "PASSED" : "FAILED") << std::endl;
    return right ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "selftest: " << error.what() << std::endl;
    return 2;
  }
}
