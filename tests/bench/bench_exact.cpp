/// \file
/// Exact attention, or with --backward its gradients, on request, for a script that takes turns with another library on the same
/// tensors. Arguments: --input FILE (raw numbers: query, key, value, and with --backward the gradient by the output, each heads x
/// n x d) --heads H --n N --d D --precision f32|f64 --threads N [--backward]. Commands on standard input: "run R" is answered by
/// the seconds that R runs took together, "write FILE" writes the last output (the gradients by query, key and value), each heads
/// x n x d, raw, and is answered by "written".

#include "attention/exact_attention.h"
#include "attention/exact_backward.h"
#include "core/stopwatch.h"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace convbasis;

struct Shape {
  Index heads = 1;
  Index n = 1024;
  Index d = 64;
  bool backward = false;
};

template <Real T>
class Heads {
 public:
  Heads(const std::string& path, const Shape& shape)
      : shape_(shape), numbers_((shape.backward ? 4 : 3) * count()), output_(count()) {
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(numbers_.data()), static_cast<std::streamsize>(numbers_.size() * sizeof(T)));
    if (!file || file.peek() != std::ifstream::traits_type::eof()) {
      throw std::runtime_error(path + " must hold " + std::to_string(numbers_.size()) + " numbers of " +
                               std::to_string(sizeof(T)) + " bytes");
    }
    lse_.assign(static_cast<std::size_t>(shape.heads), std::vector<double>(static_cast<std::size_t>(shape.n)));
    for (Index h = 0; h < shape.heads; ++h) {
      views_.push_back({tensor(0, h), tensor(1, h), tensor(2, h), 1.0 / std::sqrt(static_cast<double>(shape.d))});
      results_.push_back({{output_.data() + h * shape.n * shape.d, shape.n, shape.d, Eigen::OuterStride<>(shape.d)},
                          lse_[static_cast<std::size_t>(h)]});
    }
    if (!shape.backward) return;
    gradients_.resize(3 * count());
    forward({});
  }

  void run(const RunContext& context) { shape_.backward ? backward(context) : forward(context); }

  void write(const std::string& path) const {
    const std::vector<T>& result = shape_.backward ? gradients_ : output_;
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(result.data()), static_cast<std::streamsize>(result.size() * sizeof(T)));
    if (!file.flush()) throw std::runtime_error("could not write " + path);
  }

 private:
  void forward(const RunContext& context) {
    exact_attention<T>(std::span<const HeadView<T>>(views_), std::span<const ExactOutput<T>>(results_), context);
  }

  void backward(const RunContext& context) {
    for (Index h = 0; h < shape_.heads; ++h) {
      const auto head = static_cast<std::size_t>(h);
      const MutableMatrixView<T>& output = results_[head].output;
      exact_backward<T>(views_[head],
                        {{output.data(), shape_.n, shape_.d, Eigen::OuterStride<>(shape_.d)}, lse_[head], tensor(3, h)},
                        {gradient(0, h), gradient(1, h), gradient(2, h)}, context);
    }
  }
  MutableMatrixView<T> gradient(Index which, Index head) {
    T* first = gradients_.data() + (which * shape_.heads + head) * shape_.n * shape_.d;
    return {first, shape_.n, shape_.d, Eigen::OuterStride<>(shape_.d)};
  }

  std::size_t count() const { return static_cast<std::size_t>(shape_.heads * shape_.n * shape_.d); }
  MatrixView<T> tensor(Index which, Index head) const {
    const T* first = numbers_.data() + (which * shape_.heads + head) * shape_.n * shape_.d;
    return {first, shape_.n, shape_.d, Eigen::OuterStride<>(shape_.d)};
  }

  Shape shape_;
  std::vector<T> numbers_;
  std::vector<T> output_;
  std::vector<T> gradients_;  ///< by query, key and value
  std::vector<std::vector<double>> lse_;
  std::vector<HeadView<T>> views_;
  std::vector<ExactOutput<T>> results_;
};

template <Real T>
void answer(const std::string& path, const Shape& shape, const RunContext& context) {
  Heads<T> heads(path, shape);
  for (std::string verb; std::cin >> verb;) {
    if (verb == "run") {
      int runs = 1;
      std::cin >> runs;
      Stopwatch watch;
      for (int r = 0; r < runs; ++r) heads.run(context);
      std::printf("%.9f\n", watch.lap());
    } else if (verb == "write") {
      std::string target;
      std::getline(std::cin >> std::ws, target);
      heads.write(target);
      std::puts("written");
    } else {
      throw std::runtime_error("there is no command '" + verb + "'; the commands are run and write");
    }
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Exact causal attention, timed run by run");
  Shape shape;
  std::string input;
  RunContext context;
  std::string precision = "f32";
  app.add_option("--input", input, "raw numbers: query, key, value (and output gradient), each heads x n x d")->required();
  app.add_option("--heads", shape.heads, "heads")->check(CLI::PositiveNumber);
  app.add_option("--n", shape.n, "tokens")->check(CLI::PositiveNumber);
  app.add_option("--d", shape.d, "head width")->check(CLI::PositiveNumber);
  app.add_flag("--backward", shape.backward, "the gradients instead");
  app.add_option("--threads", context.threads, "threads, 0 for all");
  app.add_option("--precision", precision, "f32 or f64")->check(CLI::IsMember({"f32", "f64"}));
  CLI11_PARSE(app, argc, argv);
  try {
    if (precision == "f32") {
      answer<float>(input, shape, context);
    } else {
      answer<double>(input, shape, context);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_exact: %s\n", error.what());
    return 1;
  }
}
